// What comes first: the order of sites in a report, and of call sites.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "evaluate/evaluate.h"
#include "evaluate/places.h"
#include "support/ledger_builder.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using test::LedgerBuilder;

/// A report of sites that are made up, each a call site of its own.
class PlaceOrderTest : public ::testing::Test {
 protected:
  Site& site(Kind kind = Kind::fd) {
    Site& one = *report_.sites.add(arena_);
    one.id = report_.sites.size();
    one.signature = 1000 - one.id;  // so that their order is not that of the signatures
    one.kind = kind;
    one.live = 1;
    return one;
  }
  /// The numbers of the sites that come first of their call sites, in order.
  std::vector<uint64_t> order() {
    group_places(report_, arena_);
    std::vector<uint64_t> ids;
    for (const Place& place : report_.places) ids.push_back(report_.sites[place.first()].id);
    return ids;
  }
  using Ids = std::vector<uint64_t>;

  base::Arena arena_;
  Report report_;
};

TEST_F(PlaceOrderTest, WhatCountsComesBeforeWhatDoesNot) {
  site().live = 0;             // 1: holds nothing
  site().owner = "libc";       // 2
  site().suppressed_by = "x";  // 3
  Site& running = site(Kind::thread);
  running.live = 0;
  running.running = 1;  // 4
  site(Kind::heap);     // 5: memory is no news …
  site();               // 6
  EXPECT_EQ(order(), (Ids{6, 5, 4, 3, 2, 1}));
  site(Kind::heap).lost = 1;  // 7: … unless it is lost
  EXPECT_EQ(order(), (Ids{6, 7, 5, 4, 3, 2, 1}));
  Site& collected = site();
  collected.live = 0;
  collected.closed_by_gc = 2;  // 8: what a garbage collector has closed counts as if it were held
  EXPECT_EQ(order(), (Ids{8, 6, 7, 5, 4, 3, 2, 1}));
}

TEST_F(PlaceOrderTest, WhatGrowsComesFirst) {
  site().live = 100;                                         // 1
  site().growth = Growth{Course::grows, 1, 2, 1, 0, 0, {}};  // 2
  site().growth = Growth{};                                  // 3: watched, and does not grow
  EXPECT_EQ(order(), (Ids{2, 1, 3}));
}

TEST_F(PlaceOrderTest, LostBytesThenDoubtfulOnesThenAllThenTheNumber) {
  site(Kind::heap).bytes = 1000;  // 1
  site(Kind::heap).bytes = 2000;  // 2
  Site& doubtful = site(Kind::heap);
  doubtful.possibly_lost_bytes = 6;
  doubtful.indirectly_lost_bytes = 4;  // 3: 10 in all
  Site& less = site(Kind::heap);
  less.possibly_lost_bytes = 9;  // 4
  EXPECT_EQ(order(), (Ids{3, 4, 2, 1}));
  Site& lost = site(Kind::heap);
  lost.lost = 1;
  lost.lost_bytes = 1;  // 5
  Site& more = site(Kind::heap);
  more.lost = 1;
  more.lost_bytes = 2;  // 6
  EXPECT_EQ(order(), (Ids{6, 5, 3, 4, 2, 1}));
}

TEST_F(PlaceOrderTest, ThenTheNumberThenWhatRunsThenAllThatWasAcquired) {
  site();              // 1
  site().total = 9;    // 2
  site().running = 1;  // 3
  site().live = 2;     // 4
  Site& collected = site();
  collected.closed_by_gc = 2;  // 5: 3 with the one that is held
  site();                      // 6: like the first
  EXPECT_EQ(order(), (Ids{5, 4, 3, 2, 1, 6}));
}

TEST_F(PlaceOrderTest, SitesOfOneSignatureAreOneCallSite) {
  Site& one = site();
  one.live = 2;
  one.total = 5;
  one.total_bytes = 50;
  one.bytes = 20;
  one.running = 1;
  one.peak = 4;
  Site& other = site();
  other.signature = one.signature;
  other.live = 3;
  other.total = 7;
  other.total_bytes = 70;
  other.bytes = 30;
  other.running = 2;
  other.peak = 3;
  other.truncated = true;
  other.growing = true;
  other.closed_by_gc = 4;
  other.lost = 1;
  other.growth = Growth{Course::grows, 1, 2, 3, 0, 0, {}};
  ASSERT_EQ(order().size(), 1u);
  const Place& place = report_.places[0];
  EXPECT_EQ(place.sites.size(), 2u);
  EXPECT_EQ(place.live, 5u);
  EXPECT_EQ(place.total, 12u);
  EXPECT_EQ(place.total_bytes, 120u);
  EXPECT_EQ(place.bytes, 50u);
  EXPECT_EQ(place.running, 3u);
  EXPECT_EQ(place.peak, 8u) << "at least what is there";
  EXPECT_EQ(place.closed_by_gc, 4u);
  EXPECT_EQ(place.lost, 1u);
  EXPECT_TRUE(place.truncated);
  EXPECT_TRUE(place.growing);
  ASSERT_TRUE(place.growth);
  EXPECT_EQ(place.growth->per_day, 3u);
}

TEST_F(PlaceOrderTest, OneSignatureIsSeveralCallSitesWhereTheSitesDiffer) {
  for (int i = 0; i < 2; ++i) {
    site().signature = 1;
    site(Kind::heap).signature = 1;
    site().signature = 1;
    report_.sites[report_.sites.size() - 1].suppressed_by = "fd:x";
    site().signature = 1;
    report_.sites[report_.sites.size() - 1].owner = "libc";
    site().signature = 1;
    report_.sites[report_.sites.size() - 1].overflow = true;
  }
  EXPECT_EQ(order().size(), 6u) << "those that stand for many are each by themselves";
  for (const Place& place : report_.places)
    EXPECT_EQ(place.sites.size(), report_.sites[place.first()].overflow ? 1u : 2u);
}

TEST(PeakOfPlaceTest, IsAtLeastWhatIsThere) {
  auto peak = [](uint64_t one, uint64_t other, uint64_t live) {
    Place place;
    place.peak = one;
    Site stack;
    stack.peak = other;
    stack.live = live;
    add_numbers(place, stack);
    return place.peak;
  };
  EXPECT_EQ(peak(0, 0, 5), 0u) << "not known";
  EXPECT_EQ(peak(3, 0, 2), 3u);
  EXPECT_EQ(peak(3, 4, 2), 4u);
  EXPECT_EQ(peak(3, 4, 5), 5u);
}

TEST(GrowingTest, ThreadsThatAreNearlyAllThereGrow) {
  EXPECT_TRUE(is_growing(Kind::thread, 10, 10, 19));
  EXPECT_FALSE(is_growing(Kind::thread, 10, 10, 20)) << "half of them have ended";
  EXPECT_FALSE(is_growing(Kind::thread, 10, 11, 12)) << "there have been more";
  EXPECT_FALSE(is_growing(Kind::thread, 9, 9, 9)) << "few";
  EXPECT_FALSE(is_growing(Kind::fd, 10, 10, 10));
}

/// Sites of a ledger.
class SiteOrderTest : public ::testing::Test {
 protected:
  SiteOrderTest() { builder_.kernel_fd(0, "/dev/null"); }
  uint32_t site(Kind kind, uint8_t flags = 0) {
    offset_ += 100;
    return builder_.site(kind, 0, builder_.stack({{module_, offset_}, {module_, 2}}), flags);
  }
  uint32_t fds(uint32_t count, uint64_t acquired = 0) {
    uint32_t one = site(Kind::fd);
    for (uint32_t i = 0; i < count; ++i) builder_.open_fd(next_fd_++, FdOrigin::acquired, one, "/tmp/x");
    builder_.site(one).acquired += acquired;
    return one;
  }
  uint32_t blocks(uint64_t live, uint64_t bytes, uint8_t flags = 0) {
    uint32_t one = site(Kind::heap, flags);
    builder_.blocks(one, live, 0, bytes, 0);
    return one;
  }
  std::vector<uint64_t> order(bool all = false) {
    base::Arena arena;
    Report report;
    ledger::View view = builder_.view();
    ReportInput input;
    input.view = &view;
    input.now_monotonic_ns = 1'000'001'000;
    input.all_sites = all;
    evaluate(input, arena, report);
    std::vector<uint64_t> ids;
    for (const Site& one : report.sites) ids.push_back(one.id);
    return ids;
  }
  using Ids = std::vector<uint64_t>;

  LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  uint64_t offset_ = 0;
  uint32_t next_fd_ = 3;
};

TEST_F(SiteOrderTest, SitesStandByWhatTheyHold) {
  uint32_t small = blocks(5, 10), large = blocks(1, 20), many = blocks(6, 10);
  uint32_t one = fds(1), three = fds(3), again = fds(1, 5);
  EXPECT_EQ(order(), (Ids{three, again, one, large, many, small}));
}

TEST_F(SiteOrderTest, OnRequestThereAreThoseThatHoldNothing) {
  uint32_t held = fds(1), libcs = blocks(3, 300, ledger::kSiteLibc), idle = site(Kind::heap), closing = site(Kind::fd);
  builder_.blocks(idle, 4, 4, 40, 40);
  EXPECT_EQ(order(), (Ids{held})) << closing << " acquired nothing: it is that of a close";
  EXPECT_EQ(order(true), (Ids{held, libcs, idle}));
}

TEST_F(SiteOrderTest, DescriptorsThatWereManyAtOnceAreListedThoughAllAreClosed) {
  uint32_t seven = site(Kind::fd), eight = site(Kind::fd);
  builder_.header().totals[0].peak = 20;
  for (auto [at, number] : {std::pair{seven, 7u}, std::pair{eight, 8u}}) {
    builder_.site(at).acquired = number;
    builder_.site(at).released = number;
    builder_.site(at).peak_then = 20;
    builder_.site(at).live_then = number;
  }
  EXPECT_EQ(order(), (Ids{eight}));
}

TEST_F(SiteOrderTest, RunningThreadsComeAfterWhatIsHeld) {
  uint32_t two = site(Kind::thread), three = site(Kind::thread);
  for (int i = 0; i < 2; ++i) builder_.thread(two, ledger::ThreadState::running);
  for (int i = 0; i < 3; ++i) builder_.thread(three, ledger::ThreadState::running);
  uint32_t block = blocks(1, 1), ended = site(Kind::thread);
  builder_.thread(ended, ledger::ThreadState::finished);
  EXPECT_EQ(order(), (Ids{ended, block, three, two}));
}

}  // namespace
}  // namespace unfreed::report
