// Which memory is the allocator's: its free blocks hold what the program left in them, and its lists lead to blocks, so
// it is no root; only the live blocks in it count.
//
// glibc's (malloc/arena.c, malloc/malloc.c): what brk gives; other arenas, in heaps of 64 MiB at multiples of that,
// each with a head that says how much of it is in use; and single large blocks in mappings of their own, with a bit in
// the word before them that says so.
#pragma once

#include <span>

#include "grade/heap_graph.h"
#include "grade/memory_map.h"
#include "grade/range_list.h"

namespace unfreed::grade {

/// Adds what glibc knows its main arena by, in its variables: pointers to free chunks, and to one that may be part of a
/// block by now. `libc`: a mapping of its image.
void add_main_arena(const MemoryMap& map, const Mapping& libc, RangeList& out);

/// Adds glibc's memory in `mapping`, as far as no blocks are needed to know it. Every page of the mapping must be
/// readable. (Its single large blocks: add_large_block.)
void add_arenas(const Mapping& mapping, RangeList& out);

/// Adds the mapping that a block has to itself. False: it has none.
bool add_large_block(const Block& block, const Mapping& mapping, RangeList& out);

/// Of an allocator that is not known: the surroundings of a block.
void add_surroundings(const Block& block, const Mapping& mapping, RangeList& out);

}  // namespace unfreed::grade
