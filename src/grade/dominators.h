// Which vertex of a graph do all paths to another lead through? By the algorithm of Lengauer and Tarjan ("A fast
// algorithm for finding dominators in a flowgraph", ACM TOPLAS 1, 1979), in its simpler form, without recursion:
// O(edges · log vertices), also where a list of a million links is linked both ways (there the iterative algorithms,
// such as that of Cooper, Harvey and Kennedy, are quadratic).
//
// Allocates its own memory, for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/scratch.h"
#include "grade/time_limit.h"

namespace unfreed::grade {

/// Vertex 0 is where all paths begin.
struct FlowGraph {
  std::span<const uint32_t> first, last;  ///< by vertex: its successors are to[first] … to[last - 1]
  std::span<const uint32_t> to;
};

class Dominators {
 public:
  /// False: no memory, or no time.
  bool compute(const FlowGraph& graph, TimeLimit& limit);

  /// Those that a path leads to, each after its dominator; the first is vertex 0.
  std::span<const uint32_t> order() const { return {vertices_ + 1, count_}; }
  /// The immediate dominator of order()[at], as a place in order(); 0 for the first itself.
  size_t dominator(size_t at) const { return at ? dominators_[at + 1] - 1 : 0; }

 private:
  void number(const FlowGraph& graph, TimeLimit& limit);
  void list_predecessors(const FlowGraph& graph, TimeLimit& limit);
  void find(TimeLimit& limit);
  uint32_t evaluate(uint32_t vertex);

  // All but the first by numbers in depth-first order, from 1 on; 0 is none.
  Scratch memory_, predecessor_memory_;
  uint32_t* numbers_ = nullptr;  ///< by vertex
  uint32_t* vertices_ = nullptr;
  uint32_t* parents_ = nullptr;  ///< in the tree of the search
  uint32_t* semidominators_ = nullptr;
  uint32_t* labels_ = nullptr;
  uint32_t* ancestors_ = nullptr;
  uint32_t* dominators_ = nullptr;
  uint32_t* buckets_ = nullptr;  ///< first of each
  uint32_t* next_ = nullptr;     ///< in its bucket; before, and as a stack: see number() and evaluate()
  uint32_t* first_predecessor_ = nullptr;
  uint32_t* predecessors_ = nullptr;
  size_t count_ = 0;
};

}  // namespace unfreed::grade
