// Dominators, against what is left when each vertex in turn is taken away.
#include "grade/dominators.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace unfreed::grade {
namespace {

using Edges = std::vector<std::vector<uint32_t>>;

struct Flow {
  explicit Flow(const Edges& edges) {
    for (const auto& own : edges) {
      first.push_back(static_cast<uint32_t>(to.size()));
      to.insert(to.end(), own.begin(), own.end());
      last.push_back(static_cast<uint32_t>(to.size()));
    }
  }
  FlowGraph graph() const { return {first, last, to}; }
  std::vector<uint32_t> first, last, to;
};

/// Which vertices paths from vertex 0 lead to that do not go through `without`.
std::vector<bool> reached(const Edges& edges, uint32_t without) {
  std::vector<bool> seen(edges.size());
  std::vector<uint32_t> queue;
  if (without) {
    seen[0] = true;
    queue.push_back(0);
  }
  while (!queue.empty()) {
    uint32_t at = queue.back();
    queue.pop_back();
    for (uint32_t next : edges[at]) {
      if (seen[next] || next == without) continue;
      seen[next] = true;
      queue.push_back(next);
    }
  }
  return seen;
}

void check(const Edges& edges) {
  Flow flow(edges);
  TimeLimit limit;
  Dominators dominators;
  ASSERT_TRUE(dominators.compute(flow.graph(), limit));
  auto vertices = static_cast<uint32_t>(edges.size());
  std::vector<bool> all = reached(edges, vertices);
  std::vector<size_t> place(vertices, SIZE_MAX);
  std::span<const uint32_t> order = dominators.order();
  ASSERT_EQ(static_cast<size_t>(std::count(all.begin(), all.end(), true)), order.size());
  for (size_t at = 0; at < order.size(); ++at) place[order[at]] = at;
  // By the tree: who is above whom.
  std::vector<std::vector<bool>> above(vertices, std::vector<bool>(vertices));
  for (size_t at = 0; at < order.size(); ++at) {
    ASSERT_TRUE(all[order[at]]);
    if (at) {
      ASSERT_LT(dominators.dominator(at), at);
    }
    for (size_t up = at; up; up = dominators.dominator(up)) above[order[at]][order[up]] = true;
  }
  for (uint32_t without = 1; without < vertices; ++without) {
    if (!all[without]) continue;
    std::vector<bool> left = reached(edges, without);
    for (uint32_t vertex = 1; vertex < vertices; ++vertex)
      if (all[vertex]) {
        ASSERT_EQ(above[vertex][without], !left[vertex]) << vertex << " without " << without;
      }
  }
}

TEST(Dominators, OfSmallGraphs) {
  check({{}});
  check({{1}, {2}, {3}, {1}});
  check({{1, 2}, {3}, {3}, {4}, {1}});
  check({{1, 2}, {2, 3}, {1, 3}, {4}, {3, 0}, {0}});
  check({{0, 1, 1}, {1, 1}});
}

TEST(Dominators, OfRandomGraphs) {
  std::mt19937 random(1);
  for (int round = 0; round < 1000; ++round) {
    uint32_t vertices = 2 + random() % 40;
    Edges edges(vertices);
    // From trees to dense graphs; pointers mostly lead to neighbours, as in a heap.
    uint32_t count = vertices / 2 + random() % (3 * vertices);
    for (uint32_t edge = 0; edge < count; ++edge) {
      uint32_t from = random() % vertices;
      uint32_t near = (from + 1 + random() % 3) % vertices;
      edges[from].push_back(random() % 2 ? near : random() % vertices);
    }
    edges[0].push_back(1);
    check(edges);
    if (HasFatalFailure()) return;
  }
}

TEST(Dominators, OfALongListLinkedBothWays) {
  constexpr uint32_t kLinks = 300'000;
  Edges edges(kLinks + 1);
  edges[0] = {1, kLinks};
  for (uint32_t at = 1; at <= kLinks; ++at) {
    if (at > 1) edges[at].push_back(at - 1);
    if (at < kLinks) edges[at].push_back(at + 1);
  }
  Flow flow(edges);
  TimeLimit limit;
  Dominators dominators;
  ASSERT_TRUE(dominators.compute(flow.graph(), limit));
  ASSERT_EQ(dominators.order().size(), kLinks + 1);
  for (size_t at = 1; at <= kLinks; ++at) ASSERT_EQ(dominators.dominator(at), 0u);
  // One way, each hangs on the one before.
  edges[0] = {1};
  for (uint32_t at = 1; at <= kLinks; ++at)
    edges[at].erase(std::remove(edges[at].begin(), edges[at].end(), at - 1), edges[at].end());
  Flow one_way(edges);
  Dominators chain;
  ASSERT_TRUE(chain.compute(one_way.graph(), limit));
  for (size_t at = 1; at <= kLinks; ++at) ASSERT_EQ(chain.dominator(at), at - 1);
}

}  // namespace
}  // namespace unfreed::grade
