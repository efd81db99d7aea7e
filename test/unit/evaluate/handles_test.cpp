// Resources that have a handle: timers, shared memory, mappings.
#include <gtest/gtest.h>

#include <string>

#include "settings/rules.h"
#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::HandleRecord;
using ledger::Kind;
using test::Evaluated;

class HandlesTest : public ::testing::Test {
 protected:
  HandlesTest() {
    builder_.header().kinds_tracked = ~0u;
    for (Kind kind : {Kind::timer, Kind::shm})
      builder_.header().coverage[static_cast<size_t>(kind)] = static_cast<uint8_t>(ledger::Coverage::exact);
  }
  uint32_t site(Kind kind, uint8_t flags = 0) {
    return builder_.site(kind, 1, builder_.stack({{module_, 0x100 * ++sites_}}), flags);
  }
  HandleRecord& handle(Kind kind, uint32_t site, uint64_t bytes = 0, uint32_t serial = 0) {
    uint64_t index = 0;
    auto* record = builder_.writer().append<HandleRecord>(ledger::SectionId::handles, index);
    record->word = ledger::handle_word(kind, site, serial ? serial : static_cast<uint32_t>(index + 1));
    record->id = 100 + index;
    record->acquired_ns = 2'000;
    record->bytes = bytes;
    return *record;
  }
  static uint64_t total(const Evaluated& report, Kind kind, Counter counter) {
    return report->totals[index_of(subject_of(kind))].value()[counter];
  }

  test::LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/bin/program");
  uint32_t sites_ = 0;
};

TEST_F(HandlesTest, EachCountsForItsKindAndItsSite) {
  uint32_t first = site(Kind::shm), second = site(Kind::shm), timers = site(Kind::timer);
  handle(Kind::shm, first, 100);
  handle(Kind::shm, second, 1000);
  handle(Kind::shm, first, 20);
  handle(Kind::timer, timers);
  Evaluated report(builder_);
  EXPECT_EQ(total(report, Kind::shm, Counter::live), 3u);
  EXPECT_EQ(total(report, Kind::shm, Counter::bytes), 1120u);
  EXPECT_EQ(total(report, Kind::timer, Counter::live), 1u);
  EXPECT_EQ(total(report, Kind::timer, Counter::bytes), 0u);
  ASSERT_EQ(report->sites.size(), 3u);
  for (const Site& one : report->sites) {
    EXPECT_EQ(one.live, one.id == first ? 2u : 1u);
    if (one.id == first) {
      EXPECT_EQ(one.bytes, 120u);
    }
  }
}

TEST_F(HandlesTest, ASitesHandlesStandInTheOrderInWhichTheyWereAcquired) {
  uint32_t other = site(Kind::timer), at = site(Kind::timer);
  handle(Kind::timer, at, 0, 30);
  handle(Kind::timer, other, 0, 15);
  handle(Kind::timer, at, 0, 10);
  handle(Kind::timer, at, 0, 20);
  Evaluated report(builder_);
  std::string ids;
  for (const Site& one : report->sites)
    if (one.id == at)
      for (const Object& object : one.objects) ids += std::to_string(object.handle.value_or(0)) + " ";
  EXPECT_EQ(ids, "102 103 100 ");
}

TEST_F(HandlesTest, WhatWasAcquiredInAPauseIsListedApart) {
  handle(Kind::timer, site(Kind::timer)).flags = ledger::kHandleIgnored;
  Evaluated report(builder_);
  EXPECT_EQ(total(report, Kind::timer, Counter::live), 0u);
  EXPECT_EQ(total(report, Kind::timer, Counter::ignored), 1u);
  EXPECT_EQ(report->sites.size(), 0u);
}

TEST_F(HandlesTest, LibcsOwnDoNotCount) {
  handle(Kind::timer, site(Kind::timer, ledger::kSiteLibc));
  Evaluated report(builder_);
  EXPECT_EQ(total(report, Kind::timer, Counter::live), 0u);
}

TEST_F(HandlesTest, WithoutAKnownSiteTheyCountForTheirKindAlone) {
  handle(Kind::timer, 0);
  handle(Kind::timer, 999);
  handle(Kind::timer, site(Kind::shm));
  Evaluated report(builder_);
  EXPECT_EQ(total(report, Kind::timer, Counter::live), 3u);
  EXPECT_EQ(report->sites.size(), 0u);
}

TEST_F(HandlesTest, ForgedRecordsAreLeftOut) {
  uint32_t at = site(Kind::timer);
  handle(Kind::timer, at);
  handle(Kind::timer, at).word = 0;
  handle(static_cast<Kind>(200), at);
  handle(Kind::fd, at);
  handle(Kind::heap, at);
  Evaluated report(builder_);
  EXPECT_EQ(total(report, Kind::timer, Counter::live), 1u);
  EXPECT_EQ(total(report, Kind::fd, Counter::live), 0u);
  EXPECT_EQ(total(report, Kind::heap, Counter::live), 0u);
}

}  // namespace
}  // namespace unfreed::report
