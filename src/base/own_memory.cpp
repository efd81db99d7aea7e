#include "base/own_memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/address_space.h"
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

constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

enum class Placed { there, elsewhere, nowhere };

/// An address that is only wished for is free, and not in a growing stack's way, if the kernel grants the wish.
Placed map_at(uintptr_t address, size_t bytes, int protection, int flags, long fd, uint64_t offset) {
  long result = raw_syscall(SYS_mmap, static_cast<long>(address), static_cast<long>(bytes), protection, flags, fd,
                            static_cast<long>(offset));
  if (is_error(result)) return Placed::nowhere;
  if (static_cast<uintptr_t>(result) != address) {
    unmap_memory(reinterpret_cast<void*>(result), bytes);
    return Placed::elsewhere;
  }
  leave_out_of_dumps(reinterpret_cast<void*>(address), bytes);
  return Placed::there;
}

/// Maps private memory in the next place that is free; in the last resort where the kernel puts it.
void* map_next(size_t bytes, Direction& direction) {
  constexpr uintptr_t kLeap = uintptr_t{1} << 30;
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uintptr_t place = direction.take(bytes);
    Placed placed = map_at(place, bytes, PROT_READ | PROT_WRITE, kPrivate, -1, 0);
    if (placed == Placed::there) return reinterpret_cast<void*>(place);
    if (placed == Placed::nowhere) return nullptr;
    direction.take(kLeap);  // past what lies there
  }
  void* memory = map_memory(bytes);
  if (memory) leave_out_of_dumps(memory, bytes);
  return memory;
}

size_t whole_pages(size_t bytes) { return (bytes + 4095) & ~size_t{4095}; }

}  // namespace

void* own_memory(size_t bytes) {
  bytes = whole_pages(bytes);
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
    unmap_memory(memory, bytes);
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

bool map_own_at(uintptr_t address, size_t bytes, int protection, int flags, long fd, uint64_t offset) {
  return map_at(address, bytes, protection, flags, fd, offset) == Placed::there;
}

bool GrowingMemory::prepare(size_t most_bytes) {
  constexpr size_t kFirst = 64 * 1024;
  constexpr size_t kMostAtOnce = size_t{8} << 20;
  most_ = whole_pages(most_bytes);
  if (most_ <= kMostAtOnce && !is_address_space_short()) {
    start_ = reinterpret_cast<uintptr_t>(own_memory(most_));
    mapped_.store(start_ ? most_ : 0, std::memory_order_release);
    return start_;
  }
  start_ = own_addresses(most_);
  return grow_to(std::min(kFirst, most_));
}

bool GrowingMemory::map_up_to(size_t bytes) {
  if (bytes > most_) return false;
  Hold hold(lock_);
  size_t mapped = mapped_.load(std::memory_order_relaxed);
  if (bytes <= mapped) return true;
  // By half as much again, so that it does not take a system call for every few records; else by what it must be.
  for (size_t wanted : {std::max(bytes, mapped + mapped / 2), bytes}) {
    size_t more = std::min(whole_pages(wanted), most_) - mapped;
    if (!may_take_address_space(more)) continue;
    if (map_own_at(start_ + mapped, more, PROT_READ | PROT_WRITE, kPrivate)) {
      mapped_.store(mapped + more, std::memory_order_release);
      return true;
    }
    return_address_space(more);
  }
  return false;
}

void GrowingMemory::reset_lock_after_fork() {
  if (!lock_.is_held()) return;
  // A thread that does not exist here was about to map more, or had just done so.
  size_t mapped = mapped_.load(std::memory_order_relaxed);
  unmap_memory(reinterpret_cast<void*>(start_ + mapped), most_ - mapped);
  lock_.reset();
}

}  // namespace unfreed::base
