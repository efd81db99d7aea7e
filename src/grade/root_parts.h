// What memory that paths begin in is: variables, thread-local ones, the frames of stacks, mappings of the program's
// own. Allocates its own memory, for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/grade.h"
#include "grade/heap_graph.h"
#include "grade/memory_map.h"
#include "grade/scratch.h"
#include "grade/thread_locals.h"

namespace unfreed::grade {

/// Of glibc's struct pthread, which begins where a pthread_t leads and follows the thread's variables.
inline constexpr uintptr_t kThreadBytes = 2304;

class RootParts {
 public:
  /// Looks at loaded objects and at stacks. `libc`, `loader`: their images. Addresses that it learns nothing of belong
  /// to their mapping. False: no memory.
  bool collect(const MemoryMap& map, std::span<const ThreadAtRest> threads, const Range& libc, const Range& loader);

  /// Calls `visit(low, high, part)` for each part of a range of `mapping` whose root is of the kind.
  template <class Visit>
  void each(const Mapping& mapping, Range range, ledger::RootKind kind, Visit visit) const {
    for (uintptr_t at = range.low; at < range.high;) {
      const Known* next = next_after(at);
      bool is_inside = next != known_ + count_ && next->low <= at;
      uintptr_t end = is_inside ? next->high : next != known_ + count_ ? next->low : range.high;
      if (end > range.high) end = range.high;
      RootPart part;
      if (is_inside)
        part = next->part;
      else
        part.root = {ledger::RootKind::memory, 0, mapping.low};
      if (part.root.kind == kind) visit(at, end, part);
      at = end;
    }
  }

  /// Memory of its own that libc has allocated for a thread's variables or keys.
  struct ThreadBlock {
    Range range;
    RootPart part;
  };
  std::span<const ThreadBlock> thread_blocks() const { return {blocks_, block_count_}; }

 private:
  static constexpr size_t kMostLocals = 128;
  struct Known {
    uintptr_t low;
    uintptr_t high;
    RootPart part;
  };

  const Known* next_after(uintptr_t address) const;
  void add(uintptr_t low, uintptr_t high, const RootPart& part);
  void add_frames(const ThreadAtRest& thread, const unwind::StackBounds& bounds);
  void add_thread_variables(const MemoryMap& map, uintptr_t thread, int tid, Range around);
  void add_block(uintptr_t low, size_t bytes, const Root& root);
  void settle();

  Scratch memory_, walk_memory_, block_memory_;
  ThreadBlock* blocks_ = nullptr;
  size_t block_count_ = 0;
  ThreadLocals locals_[kMostLocals];  ///< of objects for which each thread has a block
  size_t local_count_ = 0;
  Known* known_ = nullptr;
  size_t count_ = 0;
  size_t thread_local_bytes_ = 0;
};

}  // namespace unfreed::grade
