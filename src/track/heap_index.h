// address → (site, size, birth epoch) of every live heap block, in private memory.
//
// A block's owner is the only thread that may free it, so a direct-mapped table indexed by address needs no locks. Two
// levels: 64 MiB regions of address space, each with one 8-byte word per grain of heap, in lazily backed pages. glibc's
// smallest chunk is 32 bytes, so no two of its blocks share a 32-byte grain; other allocators get an 8-byte grain.
//
//   word:  63      43 42     19 18   4 3  0
//         │  site    │  size   │ epoch │flags│      0: no live block starts here
//
// Sizes of 16 MiB − 1 and more are in a small side table. Before each region's words there is a count of sampled
// blocks for every 4 KiB of heap: nearly all blocks freed in a sampled heap are untracked, and finding that out must
// not cost a cache miss each. Where address space is short there is a compact index instead (compact_index.h).
// Thread-safe as described; async-signal-safe. A fork child finds the words 0: its parent's blocks are not its own.
// Copying an index as large as a quarter of the heap would make a fork that much slower, and the parent would have
// to copy each page that it goes on using.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "arch/address.h"
#include "base/add_owned.h"
#include "track/compact_index.h"
#include "track/epochs.h"
#include "track/thread_state.h"

namespace unfreed::track {

struct Block {
  uint32_t site = 0;
  uint32_t epoch = 0;
  bool ignored = false;
  uint64_t size_bytes = 0;
  bool sampled = false;  ///< stands for others too
  bool in_use = false;   ///< the program declared it in use, whether or not a pointer leads to it
};

class HeapIndex {
 public:
  /// `grain_bytes`: 32 for glibc's allocator, 8 for any other. False: no memory.
  bool prepare(unsigned grain_bytes);
  /// What that maps at once, where address space is plenty.
  static constexpr size_t kTableBytes = (size_t{1} << (arch::kAddressBits - 26)) * sizeof(uintptr_t);

  /// Records a block. False if there is no memory for it, or if one is recorded there already: that one was freed
  /// through a hooked function that was not seen, or one hooked function got it from another.
  bool put(uintptr_t address, const Block& block) {
    CompactIndex::Use use(compact_);
    if (!use) return false;
    std::atomic<uint64_t>* word = find(address);
    if (!word) [[unlikely]] {
      word = make_region(address);
      if (!word) return false;
    }
    uint64_t size = std::min(block.size_bytes, kLargeSize);
    if (!fill(*word, pack(address, block, size))) [[unlikely]]
      return false;
    if (size == kLargeSize && !put_large(address, block.size_bytes)) [[unlikely]] {
      word->store(0, std::memory_order_relaxed);
      return false;
    }
    if (block.sampled && regions_) [[unlikely]]
      sampled_count(address)->fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  /// put() if the region is known, the size ordinary and the address free; else false, and nothing done. Not for a
  /// compact index.
  [[gnu::always_inline]] bool put_simply(uintptr_t address, uint32_t site, uint32_t epoch, size_t bytes) {
    std::atomic<uint64_t>* word = find_in_region(address);
    return word && bytes < kLargeSize && fill(*word, pack(address, {site, epoch, false, 0, false}, bytes));
  }

  /// The word of the block at `address`, if one is known, not ignored, not sampled and of ordinary size; else
  /// nullptr. Storing 0 in it forgets the block. Not for a compact index.
  [[gnu::always_inline]] std::atomic<uint64_t>* find_simply(uintptr_t address, uint32_t& site, uint64_t& bytes) const {
    std::atomic<uint64_t>* word = find_in_region(address);
    if (!word) [[unlikely]]
      return nullptr;
    uint64_t value = word->load(std::memory_order_relaxed);
    Block block;
    unpack(value, block);
    if (!value || value & (kIgnored | kSampled) || block.size_bytes == kLargeSize) [[unlikely]]
      return nullptr;
    site = block.site;
    bytes = block.size_bytes;
    return word;
  }

  /// The block at `address`, but for the size of a large one. False: none is known there.
  bool find_block(uintptr_t address, Block& block) const {
    CompactIndex::Use use(compact_);
    if (!use) return false;
    const std::atomic<uint64_t>* word = find(address);
    uint64_t value = word ? word->load(std::memory_order_relaxed) : 0;
    unpack(value, block);
    return value;
  }

  /// Removes the block at `address` and returns it. False: none is known there.
  bool take(uintptr_t address, Block& block) {
    CompactIndex::Use use(compact_);
    if (!use) return false;
    std::atomic<uint64_t>* word = find(address);
    if (!word) return false;
    uint64_t value = word->load(std::memory_order_relaxed);
    if (!value) return false;
    word->store(0, std::memory_order_relaxed);
    unpack(value, block);
    if (block.sampled && regions_) [[unlikely]]
      forget_sampled(*sampled_count(address));
    if (block.size_bytes == kLargeSize) [[unlikely]]
      block.size_bytes = take_large(address);
    return true;
  }

  /// Does a sampled block begin in the 4 KiB around `address`? If not, there is none at `address`.
  [[gnu::always_inline]] bool may_be_sampled(uintptr_t address) const {
    if (!regions_) [[unlikely]]
      return true;
    const std::atomic<uint16_t>* count = sampled_count(address);
    return count && count->load(std::memory_order_relaxed);
  }

  /// Marks the block as ignored, and returns its previous state. False: none is known there.
  bool ignore(uintptr_t address, Block& block);

  /// Calls `visit(context, block)` for every live block, touching only backed regions.
  void each(void* context, void (*visit)(void* context, uintptr_t address, const Block& block)) const;

  /// Calls `visit(address, block)` for those that begin in [low, high), in order of address. Only if is_in_order().
  template <class Visit>
  void each_in(uintptr_t low, uintptr_t high, Visit visit) const {
    const size_t words = words_of_region();
    for (uintptr_t number = low >> kRegionBits; number < kRegions && number << kRegionBits < high; ++number) {
      std::atomic<uint64_t>* region = regions_[number].load(std::memory_order_acquire);
      if (!region) continue;
      uintptr_t start = number << kRegionBits;
      size_t first = low > start ? (low - start) >> grain_shift_ : 0;
      size_t last = std::min(words, (high - start + grain_bytes() - 1) >> grain_shift_);
      for (size_t i = first; i < last; ++i)
        if (uint64_t value = region[i].load(std::memory_order_relaxed)) {
          uintptr_t address = address_of(start, i, value);
          if (address >= low && address < high) visit(address, whole(address, value));
        }
    }
  }
  bool is_in_order() const { return regions_; }
  size_t grain_bytes() const { return size_t{1} << grain_shift_; }

  /// Around the making of a copy of the process that is to see the blocks: fork children do not. Async-signal-safe.
  /// False: the kernel refuses.
  bool keep_in_children(bool kept) const;

  void reset_lock_after_fork();

  /// Forgets all blocks. Nobody else uses it. Not for a compact index. False: the kernel refuses.
  bool forget_all();

  /// Is it the one for processes whose address space is short? Then it can be given back; false: it cannot be.
  bool is_compact() const { return compact_.is_in_use(); }
  bool give_back() { return compact_.give_back(); }

 private:
  /// madvise(2) for all regions. False: not all of them, or there is no index.
  bool advise(int advice) const;
  static constexpr unsigned kRegionBits = 26;
  static constexpr size_t kRegions = size_t{1} << (arch::kAddressBits - kRegionBits);
  static_assert(kTableBytes == kRegions * sizeof(std::atomic<std::atomic<uint64_t>*>));
  static constexpr unsigned kPageBits = 12;
  static constexpr size_t kCountsOfRegion = size_t{1} << (kRegionBits - kPageBits);
  static constexpr uint64_t kLargeSize = 0xffffff;
  static constexpr unsigned kEpochShift = 4, kSizeShift = kEpochShift + kEpochBits, kSiteShift = kSizeShift + 24;
  static_assert(kMostSites <= uint64_t{1} << (64 - kSiteShift));
  static constexpr uint64_t kIgnored = 1;
  static constexpr uint64_t kSampled = 2;
  static constexpr uint64_t kInUse = 8;
  static constexpr uint64_t kHalf = 4;  ///< of a grain of 32 bytes: it begins in the second half
  static constexpr unsigned kHalfShift = 2;
  static constexpr unsigned kWideGrainShift = 5;

  static uint64_t pack(uintptr_t address, const Block& block, uint64_t size) {
    return uint64_t{block.site} << kSiteShift | size << kSizeShift | uint64_t{block.epoch & kLastEpoch} << kEpochShift |
           (block.ignored ? kIgnored : 0) | (block.sampled ? kSampled : 0) | (block.in_use ? kInUse : 0) |
           (address >> kHalfShift & kHalf);
  }
  /// Where the block of word `i` begins: glibc's blocks at multiples of 16.
  uintptr_t address_of(uintptr_t region_start, size_t i, uint64_t value) const {
    uintptr_t grain = region_start | i << grain_shift_;
    return grain_shift_ == kWideGrainShift ? grain | (value & kHalf) << kHalfShift : grain;
  }
  /// False, and nothing done, if the word is not 0. Its memory is written to before it is read: for a page that is new,
  /// it would cost two faults the other way round. (The block is the calling thread's alone.)
  [[gnu::always_inline]] static bool fill(std::atomic<uint64_t>& word, uint64_t value) {
    base::add_owned(word, value);
    uint64_t seen = word.load(std::memory_order_relaxed);
    if (seen == value) [[likely]]
      return true;
    // 0: a signal handler has forked in between, and this is the child.
    if (seen) word.compare_exchange_strong(seen, seen - value, std::memory_order_relaxed);
    return false;
  }
  /// It is 0 only where a signal handler has forked since the block was found.
  static void forget_sampled(std::atomic<uint16_t>& count) {
    uint16_t seen = count.load(std::memory_order_relaxed);
    while (seen && !count.compare_exchange_weak(seen, static_cast<uint16_t>(seen - 1), std::memory_order_relaxed)) {
    }
  }
  static void unpack(uint64_t word, Block& block) {
    block.site = static_cast<uint32_t>(word >> kSiteShift);
    block.size_bytes = word >> kSizeShift & kLargeSize;
    block.epoch = static_cast<uint32_t>(word >> kEpochShift) & kLastEpoch;
    block.ignored = word & kIgnored;
    block.sampled = word & kSampled;
    block.in_use = word & kInUse;
  }

  [[gnu::always_inline]] std::atomic<uint64_t>* region_of(uintptr_t address) const {
    uintptr_t number = address >> kRegionBits;
    return number < kRegions ? regions_[number].load(std::memory_order_acquire) : nullptr;
  }
  static uintptr_t offset_in_region(uintptr_t address) { return address & ((uintptr_t{1} << kRegionBits) - 1); }
  [[gnu::always_inline]] std::atomic<uint64_t>* find_in_region(uintptr_t address) const {
    std::atomic<uint64_t>* region = region_of(address);
    return region ? region + (offset_in_region(address) >> grain_shift_) : nullptr;
  }
  std::atomic<uint64_t>* find(uintptr_t address) const {
    if (regions_) [[likely]]
      return find_in_region(address);
    return compact_.is_in_use() ? compact_.find(address) : nullptr;
  }
  std::atomic<uint16_t>* sampled_count(uintptr_t address) const {
    auto* end = reinterpret_cast<std::atomic<uint16_t>*>(region_of(address));
    return end ? end - kCountsOfRegion + (offset_in_region(address) >> kPageBits) : nullptr;
  }
  size_t words_of_region() const { return size_t{1} << (kRegionBits - grain_shift_); }
  std::atomic<uint64_t>* make_region(uintptr_t address);
  bool put_large(uintptr_t address, uint64_t size);
  Block whole(uintptr_t address, uint64_t value) const {
    Block block;
    unpack(value, block);
    if (block.size_bytes == kLargeSize) [[unlikely]]
      block.size_bytes = large_size(address);
    return block;
  }
  /// Calls `visit(words, start)` for each region: where it is, and where what it is about begins.
  template <class Visit>
  void each_region(Visit visit) const {
    size_t count = region_count_.load(std::memory_order_acquire);
    auto look = [&](size_t number) {
      std::atomic<uint64_t>* words = regions_[number].load(std::memory_order_acquire);
      if (words) visit(words, number << kRegionBits);
    };
    if (count <= kListed) {
      for (size_t at = 0; at < count; ++at) look(listed_[at]);
    } else {
      for (size_t number = 0; number < kRegions; ++number) look(number);
    }
  }
  uint64_t take_large(uintptr_t address);
  uint64_t large_size(uintptr_t address) const;

  std::atomic<std::atomic<uint64_t>*>* regions_ = nullptr;  ///< null: `compact_` it is
  unsigned grain_shift_ = 5;
  // The regions that there are; if more than fit, all have to be looked at.
  static constexpr size_t kListed = 4096;
  uint32_t listed_[kListed] = {};
  std::atomic<size_t> region_count_{0};
  CompactIndex compact_;
};

[[gnu::visibility("hidden")]] extern HeapIndex g_heap_index;

}  // namespace unfreed::track
