// What each root and block retains, against what can no longer be reached without it.
#include "grade/retained_sizes.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <random>
#include <vector>

namespace unfreed::grade {
namespace {

using ledger::RetainedSizes;

/// Blocks that point to one another, and words that are roots.
class Retained : public testing::Test {
 protected:
  static constexpr size_t kWords = 1 << 16;
  static constexpr uintptr_t kRoots = 4096;  ///< where roots are said to be

  void SetUp() override {
    void* memory = mmap(nullptr, kWords * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    words_ = static_cast<uintptr_t*>(memory);
    used_ = 2;
  }
  void TearDown() override { munmap(words_, kWords * 8); }

  size_t block(size_t bytes, uint32_t site) {
    blocks_.push_back({reinterpret_cast<uintptr_t>(words_ + used_), bytes, site, Grade::unreached, 0, 0});
    used_ += bytes / 8 + 4;
    return blocks_.size() - 1;
  }
  void point(size_t from, size_t word, size_t to, uintptr_t into = 0) {
    reinterpret_cast<uintptr_t*>(blocks_[from].start)[word] = blocks_[to].start + into;
  }

  /// `roots`: the blocks that they point to. `variables`: of how many words each is.
  RetainedSizes grade(const std::vector<size_t>& roots, size_t most_pointers = 1 << 16, uintptr_t variables = 1,
                      ledger::RootKind kind = ledger::RootKind::variable) {
    graph_ = std::make_unique<HeapGraph>();
    EXPECT_TRUE(graph_->prepare(blocks_.size()));
    for (const Block& block : blocks_) EXPECT_TRUE(graph_->add(block));
    EXPECT_TRUE(graph_->index({}));
    graph_->keep_pointers(most_pointers);
    bytes_of_variable_ = 8 * variables;
    graph_->name_variables(
        [](void* context, uintptr_t word) {
          uintptr_t bytes = *static_cast<uintptr_t*>(context);
          return kRoots + (word - kRoots) / bytes * bytes;
        },
        &bytes_of_variable_);
    RootPart part;
    part.root = {kind, 0, 0};
    part.is_by_word = true;
    std::vector<uintptr_t> words;
    for (size_t root : roots) words.push_back(root == SIZE_MAX ? 0 : blocks_[root].start);
    graph_->scan_root(words.data(), words.size(), part, kRoots);
    graph_->reach();
    graph_->settle();
    return compute_retained_sizes(*graph_, end_ns_);
  }

  uint64_t of_root(size_t number, ledger::RootKind kind = ledger::RootKind::variable) {
    for (const RetentionNode& node : graph_->retention().nodes())
      if (node.root.kind == kind && node.root.place == kRoots + 8 * number) return node.retained_bytes;
    return 0;
  }
  /// All nodes of a site.
  uint64_t of_site(uint32_t site) {
    uint64_t bytes = 0;
    for (const RetentionNode& node : graph_->retention().nodes())
      if (node.parent && node.site == site) bytes += node.retained_bytes;
    return bytes;
  }

  std::unique_ptr<HeapGraph> graph_;
  std::vector<Block> blocks_;
  uint64_t end_ns_ = UINT64_MAX;

 private:
  uintptr_t* words_ = nullptr;
  size_t used_ = 2;
  uintptr_t bytes_of_variable_ = 8;
};

TEST_F(Retained, IsWhatOnlyItLeadsTo) {
  size_t table = block(32, 1), mine = block(100, 2), shared = block(1000, 3), other = block(16, 4);
  point(table, 0, mine);
  point(table, 1, shared);
  point(other, 0, shared);
  ASSERT_EQ(grade({table, other}), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 132u);
  EXPECT_EQ(of_root(1), 16u);
  EXPECT_EQ(of_site(1), 132u);
  EXPECT_EQ(of_site(2), 100u);
  EXPECT_EQ(of_site(3), 1000u);
}

TEST_F(Retained, IsLessWhereAnotherVariableHoldsOneOfMany) {
  size_t table = block(800, 1);
  size_t one = 0;
  for (size_t at = 0; at < 100; ++at) {
    one = block(48, 2);
    point(table, at, one);
    size_t name = block(24, 3);
    point(one, 0, name);
  }
  ASSERT_EQ(grade({table, one}), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 800u + 99 * (48 + 24));
  EXPECT_EQ(of_root(1), 0u);
}

TEST_F(Retained, AllWordsOfAVariableAreOneRoot) {
  size_t first = block(24, 1), second = block(40, 1);
  point(first, 0, second);
  point(second, 0, first);
  ASSERT_EQ(grade({first, second, SIZE_MAX, first}, 1 << 16, 3), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 0u) << "the other variable holds the first one, too, and by that the second";
  ASSERT_EQ(grade({first, second}, 1 << 16, 3), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 64u);
}

TEST_F(Retained, OfAListIsAllOfIt) {
  size_t head = block(24, 1), before = head;
  for (int count = 0; count < 500; ++count) {
    size_t next = block(24, 2), payload = block(64, 3);
    point(before, 0, next);
    point(next, 1, before);
    point(next, 2, payload);
    before = next;
  }
  point(head, 1, before);
  ASSERT_EQ(grade({head}), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 24u + 500u * 88u);
  EXPECT_EQ(of_site(2), 500u * 88u);
  EXPECT_EQ(of_site(3), 500u * 64u);
}

TEST_F(Retained, PointersIntoTheMiddleHoldToo) {
  size_t one = block(800, 1), two = block(16, 2);
  point(two, 0, one, 400);
  ASSERT_EQ(grade({one, two}), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 0u);
  EXPECT_EQ(of_root(1), 16u);
}

TEST_F(Retained, IsNotGuessedWhereThereAreTooManyPointers) {
  size_t table = block(800, 1);
  for (size_t at = 0; at < 100; ++at) point(table, at, block(16, 2));
  EXPECT_EQ(grade({table}, 99), RetainedSizes::too_large);
  EXPECT_EQ(of_root(0), 0u);
  EXPECT_EQ(grade({table}, 0), RetainedSizes::too_large);
  EXPECT_EQ(grade({table}, 100), RetainedSizes::known);
  EXPECT_EQ(of_root(0), 2400u);
}

TEST_F(Retained, IsNotComputedWhereThereIsNoTime) {
  size_t table = block(32, 1);
  end_ns_ = 1;
  EXPECT_EQ(grade({table}), RetainedSizes::too_large);
}

TEST_F(Retained, OfRootsThatThereIsNoRoomFor) {
  constexpr size_t kMostNodes = size_t{1} << 20, kMore = 300'000;
  size_t mine = block(100, 1), shared = block(32, 2);
  std::vector<size_t> roots(kMostNodes + kMore, shared);
  roots[0] = mine;
  ASSERT_EQ(grade(roots, roots.size() + 1, 1, ledger::RootKind::memory), RetainedSizes::known);
  ASSERT_EQ(graph_->retention().nodes().size(), kMostNodes);
  EXPECT_EQ(of_root(0, ledger::RootKind::memory), 100u);
  EXPECT_EQ(of_root(1, ledger::RootKind::memory), 0u);
}

TEST_F(Retained, IsTrueOfRandomHeaps) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    TearDown();
    SetUp();
    blocks_.clear();
    size_t count = 2 + random() % 30;
    // Each block has a site of its own, so that each is a node.
    std::vector<std::vector<size_t>> leads(count);
    for (uint32_t at = 0; at < count; ++at) block(64 + 8 * (random() % 8), at + 1);
    for (size_t at = 0; at < count; ++at)
      for (size_t word = 0, end = random() % 4; word < end; ++word) {
        leads[at].push_back(random() % 3 ? std::min(count - 1, at + 1 + random() % 3) : random() % count);
        point(at, word, leads[at].back());
      }
    std::vector<size_t> roots;
    for (size_t root = 0, end = 1 + random() % 4; root < end; ++root) roots.push_back(random() % count);
    ASSERT_EQ(grade(roots), RetainedSizes::known);

    auto reached = [&](size_t without_root, size_t without_block) {
      std::vector<bool> seen(count);
      std::vector<size_t> queue;
      auto see = [&](size_t at) {
        if (seen[at] || at == without_block) return;
        seen[at] = true;
        queue.push_back(at);
      };
      for (size_t root = 0; root < roots.size(); ++root)
        if (root != without_root) see(roots[root]);
      while (!queue.empty()) {
        size_t at = queue.back();
        queue.pop_back();
        for (size_t next : leads[at]) see(next);
      }
      return seen;
    };
    std::vector<bool> all = reached(SIZE_MAX, SIZE_MAX);
    auto lost = [&](const std::vector<bool>& left) {
      uint64_t bytes = 0;
      for (size_t at = 0; at < count; ++at)
        if (all[at] && !left[at]) bytes += blocks_[at].bytes;
      return bytes;
    };
    for (size_t root = 0; root < roots.size(); ++root) ASSERT_EQ(of_root(root), lost(reached(root, SIZE_MAX))) << round;
    for (size_t at = 0; at < count; ++at)
      ASSERT_EQ(of_site(static_cast<uint32_t>(at + 1)), all[at] ? lost(reached(SIZE_MAX, at)) : 0);
  }
}

}  // namespace
}  // namespace unfreed::grade
