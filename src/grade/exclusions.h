// Memory that is no root: the runtime's own, the allocator's, and what stacks no longer use. Allocates its own memory,
// for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/grade.h"
#include "grade/heap_graph.h"
#include "grade/memory_map.h"
#include "grade/range_list.h"

namespace unfreed::grade {

/// The loaded object that the address lies in; empty: in none.
Range image_around(uintptr_t address);

class Exclusions {
 public:
  /// `map` and `threads` outlive it.
  Exclusions(const MemoryMap& map, std::span<const ThreadAtRest> threads) : map_(map), threads_(threads) {}

  /// Finds the runtime's own memory. Some of it may have gone since the map was read. False: there is no memory for it.
  bool find_own();
  /// May it hold heap blocks of the program's? Call it after find_own().
  bool may_be_heap(const Mapping& mapping) const;

  /// Room for what so many blocks need. False: no memory.
  bool prepare(size_t most_blocks);
  /// Collects all of it. `graph`: has every block. `libc`: its image. False: there is more than there is room for.
  bool collect(HeapGraph& graph, const Range& libc);

  /// Calls `visit(low, high)` for each part of a range that is not left out.
  template <class Visit>
  void each_gap(Range range, Visit visit) const {
    left_out_.each_gap(range, visit);
  }

 private:
  void add_stacks();
  bool find_thread(uintptr_t thread, int& tid) const;
  void add_heap(const Mapping& mapping, std::span<const Block> blocks);
  void add_main_heap(const Mapping& mapping, std::span<const Block> blocks);
  void add_arenas_and_blocks(const Mapping& mapping, std::span<const Block> blocks);

  const MemoryMap& map_;
  std::span<const ThreadAtRest> threads_;
  RangeList own_, left_out_;
};

}  // namespace unfreed::grade
