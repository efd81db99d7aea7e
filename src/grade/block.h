// A block of the heap that is graded.
#pragma once

#include <cstdint>

namespace unfreed::grade {

/// Where it can be read: whatever is there.
inline uintptr_t word_at(uintptr_t address) { return *reinterpret_cast<const uintptr_t*>(address); }

enum class Grade : uint8_t { unreached, reachable, possibly_lost, indirectly_lost, lost };

struct Block {
  uintptr_t start;
  uint64_t bytes;  ///< requested
  uint32_t site;
  Grade grade;
  uint8_t flags;  ///< kBlock…
  /// Of the first pointer that leads into its middle, where that is small; of a thread's pthread_t, how far from it the
  /// thread's result lies. 0: none.
  uint16_t offset;
};
inline constexpr uint8_t kBlockUncounted = 1u
                                           << 0;  ///< nobody's report: what only it leads to is possibly lost at worst
inline constexpr uint8_t kBlockLibc = 1u << 1;    ///< libc's own: pointers into its middle are as good as to its start
inline constexpr uint8_t kBlockUnreadable = 1u << 2;  ///< not all of it can be read; if it is uncounted, too, none of
                                                      ///< its contents are looked at
inline constexpr uint8_t kBlockStream = 1u
                                        << 3;  ///< a FILE: libc's list of them, and theirs of one another, do not count
inline constexpr uint8_t kBlockHandle = 1u << 4;  ///< no block, but a thread's pthread_t: only its exact value counts,
                                                  ///< and leads to the thread's result
inline constexpr uint8_t kBlockSeed = 1u << 5;    ///< internal: a pointer leads into its middle
inline constexpr uint8_t kBlockInUse = 1u << 6;   ///< a root, so says the program
inline constexpr uint8_t kBlockRecent = 1u << 7;  ///< for the caller's use

struct Range {
  uintptr_t low;
  uintptr_t high;
};

/// A block of no bytes is where it is, all the same.
inline uintptr_t end_of(const Block& block) { return block.start + (block.bytes ? block.bytes : 1); }

}  // namespace unfreed::grade
