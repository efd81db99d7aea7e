// Who keeps blocks alive: the shortest paths by which they were reached, put together. A node stands for all blocks of
// one call site that were reached through the blocks of its parent; a root is a place in memory where paths begin.
//
//     variable g_registry ─▶ 1 block from Registry::Registry ─▶ 4,000 from Registry::add ─▶ 4,000 from make_name
//
// A block whose call site occurs among the last few ancestors belongs to that ancestor: a list is one node, however
// long it is, and so is a tree of two kinds of blocks in turn.
//
// Allocates its own memory, for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/scratch.h"
#include "ledger/layout.h"

namespace unfreed::grade {

/// Where a path begins.
struct Root {
  ledger::RootKind kind;
  int32_t thread;  ///< whose; 0: no thread's
  /// What identifies it within its kind: an address (of a variable, of a mapping, of code for a frame of a stack), or
  /// 0.
  uintptr_t place;
};

struct RetentionNode {
  uint32_t parent;  ///< 0: it is a root
  uint32_t site;    ///< of its blocks
  Root root;
  uint64_t blocks;
  uint64_t bytes;
  uint64_t retained_bytes;  ///< retained_sizes.h
  uintptr_t example;        ///< the first block that was found; of a root, the last word in memory that is part of it
  uintptr_t link;           ///< the word that led to it; of a root, the first in memory
};

class RetentionTree {
 public:
  /// False: no memory.
  bool prepare();

  /// The node of a root. `word`: where the pointer was found. 0: there is no room for more nodes. Where there are very
  /// many variables, such as the buckets of a table, those that lie close together are one root.
  uint32_t root(const Root& root, uintptr_t word);
  /// The node of a block of `site` that a word of a block of `holder` leads to.
  uint32_t step(uint32_t holder, uint32_t site, uintptr_t block, uintptr_t word);
  /// A block belongs to the node.
  void count(uint32_t node, uint64_t bytes) {
    ++nodes_[node].blocks;
    nodes_[node].bytes += bytes;
  }

  /// Node 0 is none. A node comes after its parent.
  std::span<RetentionNode> nodes() { return {nodes_, count_}; }

 private:
  static constexpr size_t kMostNodes = size_t{1} << 20, kMostSlots = 4 * kMostNodes;

  uint32_t find_or_add(const RetentionNode& node);
  size_t slot_of(const RetentionNode& node) const;
  void grow();

  Scratch node_memory_, slot_memory_;
  RetentionNode* nodes_ = nullptr;
  uint32_t* slots_ = nullptr;  ///< hash table of nodes, open addressing: as much of it as they need
  size_t slot_count_ = size_t{1} << 10;
  size_t count_ = 1;
  size_t variables_ = 0;  ///< roots of that kind
  // Most blocks are of the node that the block before was of.
  uint32_t last_holder_ = 0, last_site_ = 0, last_node_ = 0;
};

}  // namespace unfreed::grade
