// Memory that the program keeps from its fork children (MADV_DONTFORK: V8's heap, for one; MADV_WIPEONFORK: keys). A
// copy of the process that is to look at it gets it all the same. While no other thread runs:
//
//     ForkedMemory memory;
//     memory.give();  … clone …  memory.keep_again();
//
// Async-signal-safe.
#pragma once

#include <cstddef>

#include "grade/heap_graph.h"
#include "grade/scratch.h"

namespace unfreed::grade {

class ForkedMemory {
 public:
  /// False: it cannot be found out which memory that is.
  bool give();
  void keep_again();

 private:
  static constexpr size_t kMost = size_t{1} << 16;

  struct Kept {
    Range range;
    bool is_wiped;  ///< the children have it, but empty
  };

  void advise(int not_copied, int wiped);

  Scratch memory_;
  Kept* kept_ = nullptr;
  size_t count_ = 0;
};

}  // namespace unfreed::grade
