#include "track/heap_index.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/address_space.h"
#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::track {

constinit HeapIndex g_heap_index;

namespace {

/// Blocks of 16 MiB and more: few, and each costs its owner a system call anyway. Open addressing; deletion shifts
/// back.
struct LargeBlock {
  uintptr_t address;
  uint64_t size;
};
struct LargeTable {
  base::Lock lock;
  LargeBlock* slots;
  size_t capacity;  ///< power of two
  size_t used;
};
constinit LargeTable g_large{};

size_t home_of(uintptr_t address, size_t capacity) {
  return (address >> 4) * 0x9e3779b97f4a7c15u >> 32 & (capacity - 1);
}

/// False: there was one at that address, and its size is replaced (in a fork child, one of the parent's).
bool insert(LargeBlock* slots, size_t capacity, LargeBlock block) {
  size_t at = home_of(block.address, capacity);
  while (slots[at].address && slots[at].address != block.address) at = (at + 1) & (capacity - 1);
  bool is_new = !slots[at].address;
  slots[at] = block;
  return is_new;
}

bool grow_if_needed() {
  if (g_large.capacity && g_large.used * 2 < g_large.capacity) return true;
  size_t capacity = g_large.capacity ? g_large.capacity * 2 : 256;
  auto* slots = base::own_array<LargeBlock>(capacity);
  if (!slots) return false;
  for (size_t i = 0; i < g_large.capacity; ++i)
    if (g_large.slots[i].address) insert(slots, capacity, g_large.slots[i]);
  g_large.slots = slots;
  g_large.capacity = capacity;
  return true;
}

LargeBlock* look_up(uintptr_t address) {
  if (!g_large.capacity) return nullptr;
  for (size_t at = home_of(address, g_large.capacity); g_large.slots[at].address;
       at = (at + 1) & (g_large.capacity - 1))
    if (g_large.slots[at].address == address) return &g_large.slots[at];
  return nullptr;
}

}  // namespace

bool HeapIndex::prepare(unsigned grain_bytes) {
  grain_shift_ = static_cast<unsigned>(__builtin_ctz(grain_bytes));
  if (base::is_address_space_short()) return compact_.prepare(grain_shift_);
  regions_ = base::own_array<std::atomic<std::atomic<uint64_t>*>>(kRegions);
  return regions_ != nullptr;
}

std::atomic<uint64_t>* HeapIndex::make_region(uintptr_t address) {
  if (compact_.is_in_use()) return compact_.make(address);
  if (address >> arch::kAddressBits || !regions_) return nullptr;
  base::Hold hold(g_large.lock);
  auto& region = regions_[address >> kRegionBits];
  if (!region.load(std::memory_order_acquire)) {
    constexpr size_t kCountWords = kCountsOfRegion * sizeof(uint16_t) / sizeof(uint64_t);
    auto* start = static_cast<std::atomic<uint64_t>*>(
        base::own_memory_zeroed_in_children((kCountWords + words_of_region()) * sizeof(uint64_t)));
    if (!start) return nullptr;
    region.store(start + kCountWords, std::memory_order_release);
    size_t count = region_count_.load(std::memory_order_relaxed);
    if (count < kListed) listed_[count] = static_cast<uint32_t>(address >> kRegionBits);
    region_count_.store(count + 1, std::memory_order_release);
  }
  return find(address);
}

bool HeapIndex::put_large(uintptr_t address, uint64_t size) {
  base::Hold hold(g_large.lock);
  if (!grow_if_needed()) return false;
  g_large.used += insert(g_large.slots, g_large.capacity, {address, size});
  return true;
}

uint64_t HeapIndex::take_large(uintptr_t address) {
  base::Hold hold(g_large.lock);
  LargeBlock* found = look_up(address);
  if (!found) return kLargeSize;
  uint64_t size = found->size;
  --g_large.used;
  // Close the gap: later entries of the same run move up so that look-ups still reach them.
  size_t mask = g_large.capacity - 1;
  auto hole = static_cast<size_t>(found - g_large.slots);
  g_large.slots[hole] = {};
  for (size_t at = (hole + 1) & mask; g_large.slots[at].address; at = (at + 1) & mask) {
    size_t home = home_of(g_large.slots[at].address, g_large.capacity);
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    g_large.slots[hole] = g_large.slots[at];
    g_large.slots[at] = {};
    hole = at;
  }
  return size;
}

uint64_t HeapIndex::large_size(uintptr_t address) const {
  base::Hold hold(g_large.lock);
  LargeBlock* found = look_up(address);
  return found ? found->size : kLargeSize;
}

bool HeapIndex::ignore(uintptr_t address, Block& block) {
  CompactIndex::Use use(compact_);
  if (!use) return false;
  std::atomic<uint64_t>* word = find(address);
  if (!word) return false;
  uint64_t value = word->load(std::memory_order_relaxed);
  if (!value) return false;
  unpack(value, block);
  if (block.size_bytes == kLargeSize) block.size_bytes = large_size(address);
  word->store(value | kIgnored | kInUse, std::memory_order_relaxed);
  return true;
}

void HeapIndex::each(void* context, void (*visit)(void*, uintptr_t, const Block&)) const {
  auto visit_block = [&](uintptr_t grain, uint64_t value) {
    uintptr_t address = address_of(grain, 0, value);
    visit(context, address, whole(address, value));
  };
  if (compact_.is_in_use()) return compact_.each(visit_block);
  if (!regions_) return;
  each_region([&](std::atomic<uint64_t>* words, uintptr_t start) {
    // Untouched pages read as the kernel's shared zero page: this scan takes no memory. (mincore would skip them, but
    // also those that are swapped out.)
    for (size_t i = 0; i < words_of_region(); ++i)
      if (uint64_t value = words[i].load(std::memory_order_relaxed)) visit_block(start | i << grain_shift_, value);
  });
}

bool HeapIndex::advise(int advice) const {
  if (!regions_) return false;
  bool is_done = true;
  each_region([&](std::atomic<uint64_t>* words, uintptr_t) {
    uintptr_t start = reinterpret_cast<uintptr_t>(words) - kCountsOfRegion * sizeof(uint16_t);
    long result =
        base::raw_syscall(SYS_madvise, static_cast<long>(start),
                          static_cast<long>(reinterpret_cast<uintptr_t>(words + words_of_region()) - start), advice);
    is_done = is_done && result == 0;
  });
  return is_done;
}

bool HeapIndex::keep_in_children(bool kept) const {
  constexpr int kKeep = 19, kWipe = 18;  // MADV_KEEPONFORK and MADV_WIPEONFORK
  return advise(kept ? kKeep : kWipe);
}

bool HeapIndex::forget_all() {
  if (!regions_) return false;
  bool is_done = advise(MADV_DONTNEED);
  std::fill_n(g_large.slots, g_large.capacity, LargeBlock{});
  g_large.used = 0;
  return is_done;
}

void HeapIndex::reset_lock_after_fork() {
  g_large.lock.reset();
  compact_.reset_after_fork();
}

}  // namespace unfreed::track
