#include "grade/dominators.h"

#include <algorithm>
#include <iterator>

namespace unfreed::grade {

bool Dominators::compute(const FlowGraph& graph, TimeLimit& limit) {
  size_t vertices = graph.first.size();
  uint32_t** const arrays[] = {&numbers_,   &vertices_,   &parents_, &semidominators_, &labels_,
                               &ancestors_, &dominators_, &buckets_, &next_,           &first_predecessor_};
  size_t words = vertices + 2;
  auto* memory = memory_.reserve_array<uint32_t>(std::size(arrays) * words);
  predecessors_ = predecessor_memory_.reserve_array<uint32_t>(graph.to.size() + 1);
  if (!memory || !predecessors_) return false;
  for (uint32_t** array : arrays) {
    *array = memory;
    memory += words;
  }
  number(graph, limit);
  if (!limit.is_over()) list_predecessors(graph, limit);
  if (!limit.is_over()) find(limit);
  return !limit.is_over();
}

void Dominators::number(const FlowGraph& graph, TimeLimit& limit) {
  uint32_t* cursor = ancestors_;  // of each vertex: successors that have been seen
  auto enter = [&](uint32_t vertex, uint32_t parent) {
    numbers_[vertex] = static_cast<uint32_t>(++count_);
    vertices_[count_] = vertex;
    parents_[count_] = parent;
    cursor[count_] = graph.first[vertex];
    return static_cast<uint32_t>(count_);
  };
  for (uint32_t at = enter(0, 0); at && !limit.step();) {
    if (cursor[at] >= graph.last[vertices_[at]]) {
      at = parents_[at];
      continue;
    }
    uint32_t next = graph.to[cursor[at]++];
    if (!numbers_[next]) at = enter(next, at);
  }
  std::fill_n(ancestors_, count_ + 1, 0);
}

void Dominators::list_predecessors(const FlowGraph& graph, TimeLimit& limit) {
  auto each_edge = [&](auto visit) {
    for (uint32_t at = 1; at <= count_; ++at)
      for (uint32_t edge = graph.first[vertices_[at]]; edge < graph.last[vertices_[at]] && !limit.step(); ++edge)
        visit(at, numbers_[graph.to[edge]]);
  };
  each_edge([&](uint32_t, uint32_t to) { ++first_predecessor_[to + 1]; });
  if (limit.is_over()) return;
  for (size_t at = 1; at <= count_ + 1; ++at) first_predecessor_[at] += first_predecessor_[at - 1];
  // Each begins where the one before ends, once that has been filled.
  uint32_t* filled = next_;
  std::copy_n(first_predecessor_, count_ + 1, filled);
  each_edge([&](uint32_t from, uint32_t to) { predecessors_[filled[to]++] = from; });
  std::fill_n(next_, count_ + 1, 0);
}

/// Of those on the way up from the vertex, as far as they are linked, the one of the least semidominator. Shortens the
/// way.
uint32_t Dominators::evaluate(uint32_t vertex) {
  if (!ancestors_[vertex]) return labels_[vertex];
  // The way up is turned around, and back again: it needs no stack.
  uint32_t at = vertex, below = 0;
  while (ancestors_[ancestors_[at]]) {
    uint32_t above = ancestors_[at];
    ancestors_[at] = below;
    below = at;
    at = above;
  }
  uint32_t top = ancestors_[at], best = labels_[at];
  while (below) {
    uint32_t next = ancestors_[below];
    if (semidominators_[best] < semidominators_[labels_[below]]) labels_[below] = best;
    best = labels_[below];
    ancestors_[below] = top;
    below = next;
  }
  return labels_[vertex];
}

void Dominators::find(TimeLimit& limit) {
  auto count = static_cast<uint32_t>(count_);
  for (uint32_t at = 1; at <= count; ++at) semidominators_[at] = labels_[at] = at;
  for (uint32_t at = count; at >= 2; --at) {
    for (uint32_t edge = first_predecessor_[at]; edge < first_predecessor_[at + 1] && !limit.step(); ++edge)
      semidominators_[at] = std::min(semidominators_[at], semidominators_[evaluate(predecessors_[edge])]);
    if (limit.is_over()) return;
    uint32_t parent = parents_[at];
    next_[at] = buckets_[semidominators_[at]];
    buckets_[semidominators_[at]] = at;
    ancestors_[at] = parent;
    for (uint32_t one = buckets_[parent]; one; one = next_[one]) {
      uint32_t least = evaluate(one);
      dominators_[one] = semidominators_[least] < semidominators_[one] ? least : parent;
    }
    buckets_[parent] = 0;
  }
  for (uint32_t at = 2; at <= count; ++at)
    if (dominators_[at] != semidominators_[at]) dominators_[at] = dominators_[dominators_[at]];
}

}  // namespace unfreed::grade
