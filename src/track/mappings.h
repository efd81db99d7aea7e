// Mappings that the program makes: what is left of each, to the byte. munmap, mremap and mmap over them cut and split
// them:
//
//        ┌───────── mmap, main.c:11 ─────────┐
//        └──────┬─────────────┬──────────────┘
//               │   munmap    │                     leaves two records, both of main.c:11, that count as two
//
// Mappings of the loader, of libc's malloc and of threads' stacks do not pass the hooks; those that an allocator
// library makes are counted as the allocator's own (make_site in sites.cpp).
//
// Ranges are in bytes and whole pages. All are thread-safe, async-signal-safe and keep errno.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "unwind/frame.h"

namespace unfreed::track {

struct Range {
  uint64_t start = 0;
  uint64_t end = 0;
};

/// The call has succeeded, and replaced what was in the range.
void mapping_made(Range range, std::string_view target, uint16_t hook, const unwind::Registers& from);
/// The call has failed, by errno: recorded if a limit was reached.
void mapping_not_made(uint16_t hook, const unwind::Registers& from);

/// Records of a range, detached before the call that unmaps or moves it, as another thread may get the same
/// addresses at once. One of the three functions below completes it.
struct TakenMappings {
  uint32_t first = 0;  ///< record: index + 1, in order of address; 0 none
  uint32_t last = 0;
  uint32_t cut_sites[2] = {};  ///< sites of records that were cut in two: there is one record more of each
};
TakenMappings take_mappings(Range range);
void mappings_gone(TakenMappings& taken);
/// The call failed.
void mappings_stay(TakenMappings& taken);
/// The whole range `from` is at `to` now, cut or grown to its size.
void mappings_moved(TakenMappings& taken, Range from, Range to);

/// Fork child: forgets the parent's mappings.
void reset_mappings_after_fork();

}  // namespace unfreed::track
