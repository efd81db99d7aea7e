#include "base/own_memory.h"

#include <errno.h>

#include <algorithm>

#include "base/address_space.h"
#include "base/lock.h"
#include "base/syscall.h"

namespace unfreed::base {

namespace {

/// Where the next mapping goes.
struct Direction {
  std::atomic<uintptr_t> next{0};
  uintptr_t from;  ///< beyond apart_from_program()
  bool is_down;

  uintptr_t take(size_t bytes) {
    uintptr_t none = 0;
    if (!next.load(std::memory_order_relaxed)) next.compare_exchange_strong(none, apart_from_program() + from);
    return is_down ? next.fetch_sub(bytes, std::memory_order_relaxed) - bytes
                   : next.fetch_add(bytes, std::memory_order_relaxed);
  }
};
constinit Direction g_zeroed_in_children{.from = 0, .is_down = true};
constinit Direction g_others{.from = 0, .is_down = false};
/// What is mapped piece by piece, or is no private memory, is nobody's neighbour.
constinit Direction g_addresses{.from = uintptr_t{16} << 30, .is_down = false};

/// All own mappings; neighbours are one. One with no bytes is free.
class Registry {
 public:
  void add(uintptr_t address, size_t bytes) {
    Hold hold(lock_);
    insert(address, bytes);
  }

  void remove(uintptr_t address, size_t bytes) {
    Hold hold(lock_);
    uintptr_t end = address + bytes;
    for (size_t index = 0; index < count_.load(std::memory_order_relaxed); ++index) {
      OwnMapping known = at(index);
      uintptr_t known_end = known.address + known.bytes;
      if (known.address >= end || known_end <= address) continue;
      if (known.address < address)
        set(index, known.address, address - known.address);
      else
        set(index, 0, 0);
      if (known_end > end) insert(end, known_end - end);
    }
  }

  size_t count() const { return count_.load(std::memory_order_acquire); }
  OwnMapping at(size_t index) const {
    size_t bytes = bytes_[index].load(std::memory_order_acquire);
    return {addresses_[index].load(std::memory_order_relaxed), bytes};
  }

  /// A thread that does not exist in the child may have held it.
  void reset_lock_after_fork() { lock_.reset(); }

 private:
  static constexpr size_t kMost = 1024;

  void insert(uintptr_t address, size_t bytes) {
    size_t count = count_.load(std::memory_order_relaxed), free = count;
    for (size_t index = 0; index < count; ++index) {
      OwnMapping known = at(index);
      if (!known.bytes)
        free = index;
      else if (known.address + known.bytes == address)
        return set(index, known.address, known.bytes + bytes);
      else if (known.address == address + bytes)
        return set(index, address, known.bytes + bytes);
    }
    if (free == kMost) return;
    set(free, address, bytes);
    if (free == count) count_.store(count + 1, std::memory_order_release);
  }

  /// Whoever reads meanwhile sees no byte that is not in the old or the new mapping.
  void set(size_t index, uintptr_t address, size_t bytes) {
    if (address > addresses_[index].load(std::memory_order_relaxed)) bytes_[index].store(0, std::memory_order_release);
    addresses_[index].store(address, std::memory_order_relaxed);
    bytes_[index].store(bytes, std::memory_order_release);
  }

  Lock lock_;
  std::atomic<size_t> count_{0};
  std::atomic<uintptr_t> addresses_[kMost]{};
  std::atomic<size_t> bytes_[kMost]{};
};
constinit Registry g_mappings;

void* take_in(uintptr_t address, size_t bytes) {
  leave_out_of_dumps(reinterpret_cast<void*>(address), bytes);
  g_mappings.add(address, bytes);
  return reinterpret_cast<void*>(address);
}

/// Maps private memory in the next place that is free; in the last resort where the kernel puts it.
void* map_next(size_t bytes, Direction& direction) {
  constexpr uintptr_t kLeap = uintptr_t{1} << 30;
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uintptr_t place = direction.take(bytes);
    long result = map_at(place, bytes, PROT_READ | PROT_WRITE, kPrivateMemory);
    if (result == 0) return take_in(place, bytes);
    if (result != -EEXIST) return nullptr;
    direction.take(kLeap);  // past what lies there
  }
  void* memory = map_memory(bytes);
  return memory ? take_in(reinterpret_cast<uintptr_t>(memory), bytes) : nullptr;
}

size_t whole_pages(size_t bytes) { return (bytes + 4095) & ~size_t{4095}; }

/// Mapped at once, for many: [next, end) is left.
class Reserve {
 public:
  /// Nothing is taken while it changes: `next_` is 0 meanwhile.
  void fill(uintptr_t start, size_t bytes) {
    next_.store(0, std::memory_order_seq_cst);
    end_.store(start + bytes, std::memory_order_seq_cst);
    next_.store(start, std::memory_order_seq_cst);
  }
  /// nullptr: not as much is left.
  void* take(size_t bytes) {
    uintptr_t next = next_.load(std::memory_order_seq_cst);
    do {
      uintptr_t end = end_.load(std::memory_order_seq_cst);
      if (!next || next > end || bytes > end - next) return nullptr;
    } while (!next_.compare_exchange_weak(next, next + bytes, std::memory_order_seq_cst));
    return reinterpret_cast<void*>(next);
  }

 private:
  std::atomic<uintptr_t> next_{0}, end_{0};
};
constinit Reserve g_reserve;

}  // namespace

void reserve_own_memory(size_t bytes) {
  if (is_address_space_short()) return;
  if (auto start = reinterpret_cast<uintptr_t>(own_memory(bytes))) g_reserve.fill(start, bytes);
}

void* own_memory(size_t bytes) {
  bytes = whole_pages(bytes);
  if (void* reserved = g_reserve.take(bytes)) return reserved;
  if (!may_take_address_space(bytes)) return nullptr;
  void* memory = map_next(bytes, g_others);
  if (!memory) return_address_space(bytes);
  return memory;
}

void* own_memory_zeroed_in_children(size_t bytes) {
  bytes = whole_pages(bytes);
  if (!may_take_address_space(bytes)) return nullptr;
  void* memory = map_next(bytes, g_zeroed_in_children);
  // It fails where the process has as many mappings as it may: this one then shares a neighbour's.
  if (memory && !zero_in_fork_children(memory, bytes)) {
    give_back_own_memory(reinterpret_cast<uintptr_t>(memory), bytes);
    memory = nullptr;
  }
  if (!memory) return_address_space(bytes);
  return memory;
}

bool zero_in_fork_children(void* start, size_t bytes) {
  long result = raw_syscall(SYS_madvise, reinterpret_cast<long>(start), static_cast<long>(bytes), MADV_WIPEONFORK);
  return !is_error(result);
}

uintptr_t own_addresses(size_t bytes) { return g_addresses.take(whole_pages(bytes)); }

void return_own_addresses(uintptr_t address, size_t bytes) {
  uintptr_t next = address + whole_pages(bytes);
  g_addresses.next.compare_exchange_strong(next, address, std::memory_order_relaxed);
}

bool own_memory_at(uintptr_t address, size_t bytes) {
  if (map_at(address, bytes, PROT_READ | PROT_WRITE, kPrivateMemory) != 0) return false;
  take_in(address, bytes);
  return true;
}

void give_back_own_memory(uintptr_t address, size_t bytes) {
  g_mappings.remove(address, bytes);
  unmap_memory(reinterpret_cast<void*>(address), bytes);
}

bool own_mapping(size_t index, OwnMapping& out) {
  if (index >= g_mappings.count()) return false;
  out = g_mappings.at(index);
  return true;
}

void give_back_all_own_memory() {
  g_reserve.fill(0, 0);
  OwnMapping mapping;
  for (size_t index = 0; own_mapping(index, mapping); ++index)
    if (mapping.bytes) give_back_own_memory(mapping.address, mapping.bytes);
}

void reset_own_memory_after_fork() { g_mappings.reset_lock_after_fork(); }

namespace {
/// A small program's report takes about that much.
constexpr size_t kSpareBytes = size_t{3} << 20;
constinit std::atomic<uintptr_t> g_spare_place{0};
constinit std::atomic<bool> g_has_spare{false};
}  // namespace

void keep_spare_room() {
  if (!is_address_space_short() || g_has_spare.load(std::memory_order_acquire)) return;
  uintptr_t place = g_spare_place.load(std::memory_order_relaxed);
  if (!place) g_spare_place.store(place = own_addresses(kSpareBytes), std::memory_order_relaxed);
  if (!may_take_address_space(kSpareBytes)) return;
  if (own_memory_at(place, kSpareBytes))
    g_has_spare.store(true, std::memory_order_release);
  else
    return_address_space(kSpareBytes);
}

void give_spare_room() {
  if (!g_has_spare.exchange(false, std::memory_order_acq_rel)) return;
  give_back_own_memory(g_spare_place.load(std::memory_order_relaxed), kSpareBytes);
  return_address_space(kSpareBytes);
}

bool GrowingMemory::begin(size_t most_bytes, bool zeroed_in_children) {
  constexpr size_t kMostAtOnce = size_t{8} << 20;
  most_ = whole_pages(most_bytes);
  is_zeroed_in_children_ = zeroed_in_children;
  if (most_ <= kMostAtOnce && !zeroed_in_children && !is_address_space_short()) {
    start_ = reinterpret_cast<uintptr_t>(own_memory(most_));
    mapped_.store(start_ ? most_ : 0, std::memory_order_release);
    return start_;
  }
  start_ = own_addresses(most_);
  return grow_to(1);
}

bool GrowingMemory::map_up_to(size_t bytes) {
  if (bytes > most_) return false;
  Hold hold(lock_);
  size_t mapped = mapped_.load(std::memory_order_relaxed);
  if (bytes <= mapped) return true;
  // By half as much again, so that it does not take a system call for every few records; else by what it must be.
  constexpr size_t kFirst = 16 * 1024;
  for (size_t wanted : {std::max({bytes, mapped + mapped / 2, kFirst}), bytes}) {
    size_t more = std::min(whole_pages(wanted), most_) - mapped;
    if (!may_take_address_space(more)) continue;
    uintptr_t from = start_ + mapped;
    bool is_there = own_memory_at(from, more);
    if (is_there && (!is_zeroed_in_children_ || zero_in_fork_children(reinterpret_cast<void*>(from), more))) {
      mapped_.store(mapped + more, std::memory_order_release);
      return true;
    }
    if (is_there) give_back_own_memory(from, more);
    return_address_space(more);
  }
  return false;
}

void GrowingMemory::give_back() {
  Hold hold(lock_);
  size_t mapped = mapped_.load(std::memory_order_relaxed);
  give_back_own_memory(start_, mapped);
  return_address_space(mapped);
  most_ = 0;  // and no more
  mapped_.store(0, std::memory_order_release);
}

void GrowingMemory::reset_lock_after_fork() {
  if (!lock_.is_held()) return;
  // A thread that does not exist here was about to map more, or had just done so.
  size_t mapped = mapped_.load(std::memory_order_relaxed);
  unmap_memory(reinterpret_cast<void*>(start_ + mapped), most_ - mapped);
  lock_.reset();
}

}  // namespace unfreed::base
