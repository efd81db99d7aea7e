#include "ledger/composer.h"

#include <gtest/gtest.h>

#include "support/ledger_builder.h"

namespace unfreed::ledger {
namespace {

class ComposerTest : public ::testing::Test {
 protected:
  uint32_t stack(std::initializer_list<FrameKey> frames) {
    bool truncated = false;
    uint32_t leaf = composer_.stack(frames, truncated);
    EXPECT_FALSE(truncated);
    return leaf;
  }
  uint64_t count(SectionId id) { return builder_.writer().section(id).count; }

  test::LedgerBuilder builder_{test::LedgerSize::compact};
  Composer composer_{builder_.writer()};
};

TEST_F(ComposerTest, StacksShareTheirOuterFrames) {
  ASSERT_TRUE(composer_.prepare(Existing::found));
  uint32_t outer = stack({{1, 20}, {1, 10}});
  uint64_t nodes = count(SectionId::nodes);
  uint32_t first = stack({{1, 31}, {1, 20}, {1, 10}});
  uint32_t second = stack({{1, 32}, {1, 20}, {1, 10}});
  EXPECT_EQ(stack({{1, 31}, {1, 20}, {1, 10}}), first);
  EXPECT_EQ(stack({{1, 20}, {1, 10}}), outer);
  EXPECT_NE(first, second);
  EXPECT_EQ(count(SectionId::nodes), nodes + 2);
  const Node* found[4];
  View view = builder_.view();
  ASSERT_EQ(view.stack(second, found), 3u);
  EXPECT_EQ(found[0]->offset, 32u);
  EXPECT_EQ(found[2]->offset, 10u);
}

TEST_F(ComposerTest, FramesDifferByModuleAndKind) {
  ASSERT_TRUE(composer_.prepare(Existing::found));
  uint32_t plain = stack({{1, 10}});
  EXPECT_NE(stack({{2, 10}}), plain);
  EXPECT_NE(stack({{1 | kNodeExactPc, 10}}), plain);
}

TEST_F(ComposerTest, StacksOfBeforeAreFoundOnRequest) {
  uint32_t leaf = builder_.stack({{1, 7}, {1, 3}});
  builder_.stack({{1, 8}, {1, 3}});
  uint64_t nodes = count(SectionId::nodes);
  ASSERT_TRUE(composer_.prepare(Existing::found));
  EXPECT_EQ(stack({{1, 7}, {1, 3}}), leaf);
  EXPECT_EQ(count(SectionId::nodes), nodes);
  Composer apart(builder_.writer());
  ASSERT_TRUE(apart.prepare(Existing::left_alone));
  bool truncated = false;
  FrameKey frames[] = {{1, 7}, {1, 3}};
  EXPECT_GE(apart.stack(frames, truncated), nodes);
}

TEST_F(ComposerTest, NodesOfADamagedLedgerAreLeftAlone) {
  uint32_t leaf = builder_.stack({{1, 7}, {1, 3}});
  builder_.writer().at<Node>(SectionId::nodes, leaf)->parent = 1'000'000;
  ASSERT_TRUE(composer_.prepare(Existing::found));
  EXPECT_NE(stack({{1, 7}, {1, 3}}), leaf);
}

TEST_F(ComposerTest, WithoutRoomAStackIsCut) {
  ASSERT_TRUE(composer_.prepare(Existing::found));
  std::vector<FrameKey> frames;
  for (uint64_t at = 0; at < 400; ++at) frames.push_back({1, 400 - at});
  bool truncated = false;
  uint32_t leaf = composer_.stack(frames, truncated);
  EXPECT_TRUE(truncated);
  EXPECT_NE(leaf, 0u);
  EXPECT_EQ(builder_.header().dropped[static_cast<size_t>(Dropped::nodes_full)], 1u);
}

TEST_F(ComposerTest, ASiteIsAKindAFunctionAndAStack) {
  ASSERT_TRUE(composer_.prepare(Existing::found));
  uint32_t leaf = stack({{1, 7}});
  auto site = [&](Kind kind, uint16_t hook, uint32_t node, uint8_t truncated = 0) {
    return composer_.site({static_cast<uint8_t>(kind), truncated, hook, node}, 5);
  };
  uint32_t first = site(Kind::fd, 0, leaf);
  EXPECT_EQ(site(Kind::fd, 0, leaf), first);
  uint32_t others[] = {site(Kind::heap, 0, leaf), site(Kind::fd, 1, leaf), site(Kind::fd, 0, stack({{1, 8}})),
                       site(Kind::fd, 0, leaf, kSiteTruncated)};
  for (uint32_t other : others) EXPECT_NE(other, first);
  for (uint32_t other : others)
    EXPECT_EQ(site(static_cast<Kind>(builder_.site(other).kind), builder_.site(other).hook, builder_.site(other).node,
                   builder_.site(other).flags),
              other);
  EXPECT_EQ(builder_.site(first).first_ns, 5u);
  EXPECT_GT(first, kKindCount) << "the first ones stand for what finds no room";
}

TEST_F(ComposerTest, WithoutRoomASiteIsTheKinds) {
  ASSERT_TRUE(composer_.prepare(Existing::found));
  uint32_t last = 0;
  for (uint16_t hook = 0; hook < 100; ++hook)
    last = composer_.site({static_cast<uint8_t>(Kind::thread), 0, hook, 0}, 5);
  EXPECT_EQ(last, 1 + static_cast<uint32_t>(Kind::thread));
  EXPECT_TRUE(builder_.site(last).flags & kSiteOverflow);
  EXPECT_GT(builder_.header().dropped[static_cast<size_t>(Dropped::sites_full)], 0u);
}

TEST_F(ComposerTest, AModuleIsEnteredOnce) {
  ModuleDescription library{"/lib/a.so", "\x01\x02", 0x1000, 0x1000, 0x2000, 0};
  uint32_t number = composer_.module(library);
  EXPECT_EQ(composer_.module(library), number);
  library.build_id = "\x01\x03";
  EXPECT_NE(composer_.module(library), number) << "the file has been replaced";
  library.build_id = "\x01\x02";
  library.base = 0x5000;
  EXPECT_NE(composer_.module(library), number) << "it was loaded elsewhere";
  EXPECT_EQ(builder_.view().text(builder_.view().module(number)->path), "/lib/a.so");
}

TEST_F(ComposerTest, AcquisitionsAreNumberedAndCounted) {
  uint32_t site = builder_.site(Kind::fd, 0, 0);
  FdRecord* fd = composer_.add_fd(9, FdOrigin::acquired, site, 77);
  ThreadRecord* thread = composer_.add_thread(4300, ThreadState::running, 0, 78);
  ChildRecord* child = composer_.add_child(4301, 0, 79);
  ASSERT_TRUE(fd && thread && child);
  EXPECT_EQ(fd_serial(fd->word) + 1, thread->serial);
  EXPECT_EQ(thread->serial + 1, child->serial);
  EXPECT_EQ(fd_site(fd->word), site);
  EXPECT_EQ(builder_.site(site).acquired, 1u);
  EXPECT_EQ(builder_.header().totals[static_cast<size_t>(Kind::fd)].acquired, 1u);
  EXPECT_EQ(builder_.view().fd_count(), 10u);
  composer_.add_fd(10, FdOrigin::inherited, 0, 80);
  EXPECT_EQ(builder_.header().totals[static_cast<size_t>(Kind::fd)].acquired, 1u) << "nobody acquired it";
}

}  // namespace
}  // namespace unfreed::ledger
