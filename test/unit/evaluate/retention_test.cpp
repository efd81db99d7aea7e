// Who keeps blocks alive, as the report says it: the ledger's tree, where roots that are one to the reader are one.
#include <gtest/gtest.h>

#include <string>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::Kind;
using ledger::RetentionRecord;
using ledger::RootKind;
using test::Evaluated;

class RetentionTest : public ::testing::Test {
 protected:
  RetentionTest() {
    builder_.header().grading = static_cast<uint32_t>(ledger::Grading::done);
    builder_.blocks(site_, 100, 0, 10'000, 0);
    input_.all_sites = true;
  }
  /// The record's number.
  uint32_t add(const RetentionRecord& record) {
    uint64_t index = 0;
    auto* place = builder_.writer().append<RetentionRecord>(ledger::SectionId::retention, index);
    *place = record;
    return static_cast<uint32_t>(index) + 1;
  }
  uint32_t root(RootKind kind, uint32_t module, uint64_t place, int32_t thread = 0) {
    RetentionRecord record{};
    record.root = static_cast<uint8_t>(kind);
    record.module = module;
    record.place = place;
    record.thread = thread;
    return add(record);
  }
  uint32_t blocks(uint32_t parent, uint64_t count, uint64_t bytes, uint64_t link = 0) {
    RetentionRecord record{};
    record.parent = parent;
    record.site = site_;
    record.blocks = count;
    record.bytes = bytes;
    record.link = link;
    record.retained_bytes = 2 * bytes;
    return add(record);
  }
  /// Each node: its parent's number for blocks, else what is known of the root.
  std::string nodes() {
    Evaluated report(builder_, input_);
    std::string all;
    for (const RetentionNode& one : report->retention) {
      if (one.parent) {
        all += std::to_string(one.parent) + ": " + std::to_string(one.blocks) + " blocks, " +
               std::to_string(one.bytes) + " B, at " + std::to_string(one.link);
        if (one.retained_bytes) all += ", retains " + std::to_string(*one.retained_bytes);
      } else {
        all += one.place ? "place" : one.address ? "address " + std::to_string(*one.address) : "root";
        if (one.key) all += " key " + std::to_string(*one.key);
        if (one.thread) all += " of " + std::to_string(*one.thread);
      }
      all += "; ";
    }
    return all;
  }

  test::LedgerBuilder builder_;
  ReportInput input_;
  uint32_t module_ = builder_.module("/bin/program");
  uint32_t site_ = builder_.site(Kind::heap, 2, builder_.stack({{module_, 0x100}}));
};

TEST_F(RetentionTest, WithoutAGradingNothingIsSaid) {
  blocks(root(RootKind::memory, 0, 0x1000), 1, 10);
  builder_.header().grading = static_cast<uint32_t>(ledger::Grading::none);
  EXPECT_EQ(nodes(), "");
}

TEST_F(RetentionTest, RootsAreKnownByTheirAddressVariableKeyAndThread) {
  root(RootKind::memory, 0, 1000);
  root(RootKind::variable, module_, 0x200);
  root(RootKind::thread_key, 0, 3, 77);
  root(RootKind::thread_variable, 0, 16, 77);
  root(RootKind::registers, 0, 0, 77);
  EXPECT_EQ(nodes(), "address 1000; place; root key 3 of 77; root of 77; root of 77; ");
}

TEST_F(RetentionTest, TheSameRootIsThereOnceAndOthersApart) {
  for (int i = 0; i < 2; ++i) {
    root(RootKind::memory, 0, 1000);
    root(RootKind::memory, 0, 2000);
    root(RootKind::region, 0, 1000);
    root(RootKind::thread_key, 0, 3, 77);
    root(RootKind::thread_key, 0, 4, 77);
    root(RootKind::thread_key, 0, 3, 78);
    root(RootKind::stack, module_, 0x300, 77);
    root(RootKind::stack, module_, 0x300, 78);
    root(RootKind::stack, module_, 0x400, 78);
  }
  EXPECT_EQ(nodes(),
            "address 1000; address 2000; address 1000; root key 3 of 77; root key 4 of 77; root key 3 of 78; "
            "place of 77; place of 78; place of 78; ");
}

TEST_F(RetentionTest, BlocksOfOneSiteBehindOneRootAreSummed) {
  uint32_t first = root(RootKind::memory, 0, 1000), other = root(RootKind::memory, 0, 2000);
  uint32_t again = root(RootKind::memory, 0, 1000);
  uint32_t held = blocks(first, 2, 20, 8);
  blocks(other, 1, 5);
  blocks(again, 3, 30, 16);
  blocks(held, 4, 40);
  EXPECT_EQ(nodes(),
            "address 1000; address 2000; 1: 5 blocks, 50 B, at 8; 2: 1 blocks, 5 B, at 0; 3: 4 blocks, 40 B, at 0; ")
      << "the pointer is the first one's";
}

TEST_F(RetentionTest, WhatIsRetainedIsSaidIfItIsKnown) {
  uint32_t first = root(RootKind::memory, 0, 1000);
  blocks(first, 2, 20);
  blocks(first, 3, 30);
  builder_.header().retained_sizes = static_cast<uint32_t>(ledger::RetainedSizes::too_large);
  EXPECT_EQ(nodes(), "address 1000; 1: 5 blocks, 50 B, at 0; ");
  builder_.header().retained_sizes = static_cast<uint32_t>(ledger::RetainedSizes::known);
  EXPECT_NE(nodes().find("1: 5 blocks, 50 B, at 0, retains 100; "), std::string::npos);
}

TEST_F(RetentionTest, ForgedParentsTakeTheirChildrenWithThem) {
  uint32_t child = blocks(99, 1, 10);
  blocks(child, 1, 10);
  uint32_t next = child + 2;
  blocks(next, 1, 10);
  EXPECT_EQ(nodes(), "") << "of one that comes later, is not there, or is itself";
}

TEST_F(RetentionTest, OfSitesThatAreNotListedThePathsAreLeftOut) {
  uint32_t smaller = builder_.site(Kind::heap, 2, builder_.stack({{module_, 0x500}}));
  builder_.blocks(smaller, 1, 0, 10, 0);
  uint32_t shared = root(RootKind::memory, 0, 1000), alone = root(RootKind::memory, 0, 2000);
  uint32_t through = blocks(shared, 1, 10);
  builder_.writer().at<RetentionRecord>(ledger::SectionId::retention, through - 1)->site = smaller;
  blocks(through, 7, 70);
  uint32_t last = blocks(alone, 1, 10);
  builder_.writer().at<RetentionRecord>(ledger::SectionId::retention, last - 1)->site = smaller;
  input_.most_sites = 1;
  EXPECT_EQ(nodes(), "address 1000; 1: 1 blocks, 10 B, at 0; 2: 7 blocks, 70 B, at 0; ");
  input_.most_sites = 0;
  EXPECT_EQ(nodes(),
            "address 1000; address 2000; 1: 1 blocks, 10 B, at 0; 3: 7 blocks, 70 B, at 0; 2: 1 blocks, 10 B, at 0; ");
}

}  // namespace
}  // namespace unfreed::report
