#include "grade/retained_sizes.h"

#include "grade/dominators.h"
#include "grade/time_limit.h"

namespace unfreed::grade {

namespace {

using ledger::RetainedSizes;

/// Vertices of the graph: 0, from which all roots hang; nodes of the retention tree by their numbers, of which only
/// roots have edges; then blocks.
class Sizes {
 public:
  Sizes(HeapGraph& graph, uint64_t end_ns)
      : graph_(graph), nodes_(graph.retention().nodes()), blocks_(graph.blocks()), limit_(end_ns) {}

  RetainedSizes compute() {
    const HeapGraph::Pointers& pointers = graph_.pointers();
    if (!pointers.is_kept && pointers.is_complete) return RetainedSizes::none;
    if (!pointers.is_complete || !make_edges(pointers) || limit_.look() || !dominators_.compute(flow_, limit_) ||
        limit_.look() || !reserve())
      return RetainedSizes::too_large;
    add_up();
    if (!limit_.look()) share_out();
    return limit_.is_over() ? RetainedSizes::too_large : RetainedSizes::known;
  }

 private:
  size_t vertices() const { return nodes_.size() + blocks_.size(); }
  bool is_block(uint32_t vertex) const { return vertex >= nodes_.size(); }
  uint32_t block_of(uint32_t vertex) const { return vertex - static_cast<uint32_t>(nodes_.size()); }

  bool make_edges(const HeapGraph::Pointers& pointers) {
    auto* first = first_memory_.reserve_array<uint32_t>(vertices() + 1);
    auto* last = last_memory_.reserve_array<uint32_t>(vertices() + 1);
    // What begins at no root of its own is written twice, see below.
    size_t most = pointers.count + 2 * pointers.root_count + nodes_.size();
    auto* to = to_memory_.reserve_array<uint32_t>(most + 1);
    if (!first || !last || !to) return false;
    auto base = static_cast<uint32_t>(nodes_.size());
    for (size_t at = 0; at < pointers.count; ++at) to[at] = pointers.to[at] + base;
    for (size_t at = 0; at < blocks_.size(); ++at) {
      first[base + at] = pointers.first[at];
      last[base + at] = pointers.last[at];
    }
    auto end = static_cast<uint32_t>(pointers.count);
    // Of each root, in the order of their numbers.
    for (size_t at = 0; at < pointers.root_count; ++at) ++last[pointers.roots[at].root];
    for (uint32_t root = 0; root < base; ++root) {
      first[root] = end;
      end += last[root];
      last[root] = first[root];
    }
    for (size_t at = 0; at < pointers.root_count; ++at)
      to[last[pointers.roots[at].root]++] = pointers.roots[at].block + base;
    // The first one's own edges, to what has no root of its own, move to the end: it has those to all roots, too.
    uint32_t own = first[0], own_end = last[0];
    first[0] = end;
    for (; own < own_end; ++own) to[end++] = to[own];
    for (uint32_t root = 1; root < base; ++root)
      if (last[root] > first[root]) to[end++] = root;
    last[0] = end;
    flow_ = {{first, vertices()}, {last, vertices()}, {to, end}};
    return true;
  }

  bool reserve() {
    size_t count = dominators_.order().size();
    sizes_ = size_memory_.reserve_array<uint64_t>(count + 1);
    first_child_ = child_memory_.reserve_array<uint32_t>(count + 1);
    next_child_ = next_memory_.reserve_array<uint32_t>(count + 1);
    open_ = open_memory_.reserve_array<uint32_t>(nodes_.size() + 1);
    return sizes_ && first_child_ && next_child_ && open_;
  }

  /// With all that hangs on each in the tree of dominators.
  void add_up() {
    std::span<const uint32_t> order = dominators_.order();
    for (size_t at = order.size(); at-- > 1;) {
      if (is_block(order[at])) sizes_[at] += graph_.kept_bytes(block_of(order[at]));
      size_t above = dominators_.dominator(at);
      sizes_[above] += sizes_[at];
      next_child_[at] = first_child_[above];
      first_child_[above] = static_cast<uint32_t>(at);
    }
  }

  uint32_t node_of(size_t at) const {
    uint32_t vertex = dominators_.order()[at];
    return is_block(vertex) ? graph_.node_of(block_of(vertex)) : vertex;
  }

  /// A block adds what it retains to its node, unless it hangs on another block of that node. (A root is a node too.)
  void share_out() {
    auto enter = [&](size_t at) {
      uint32_t node = node_of(at);
      if (node && !open_[node]++) nodes_[node].retained_bytes += sizes_[at];
      return at;
    };
    for (size_t at = enter(0); !limit_.step();) {
      if (uint32_t child = first_child_[at]) {
        first_child_[at] = next_child_[child];
        at = enter(child);
        continue;
      }
      if (!at) return;
      if (uint32_t node = node_of(at)) --open_[node];
      at = dominators_.dominator(at);
    }
  }

  HeapGraph& graph_;
  std::span<RetentionNode> nodes_;
  std::span<Block> blocks_;
  Scratch first_memory_, last_memory_, to_memory_, size_memory_, child_memory_, next_memory_, open_memory_;
  TimeLimit limit_;
  FlowGraph flow_;
  Dominators dominators_;
  uint64_t* sizes_ = nullptr;  ///< by place in dominators_.order()
  uint32_t* first_child_ = nullptr;
  uint32_t* next_child_ = nullptr;
  uint32_t* open_ = nullptr;  ///< by node: how many of its blocks lie on the way
};

}  // namespace

RetainedSizes compute_retained_sizes(HeapGraph& graph, uint64_t end_ns) { return Sizes(graph, end_ns).compute(); }

}  // namespace unfreed::grade
