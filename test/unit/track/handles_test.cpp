// What a program knows by a number or an address: from the call that acquired it to the one that released it.
#include "track/handles.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::HandleRecord;
using ledger::Kind;
using ledger::SectionId;

class HandlesTest : public ::testing::Test {
 protected:
  ~HandlesTest() override {
    for (uint64_t id : held(Kind::timer)) EXPECT_TRUE(release(id));
    for (uint64_t id : held(Kind::shm)) EXPECT_TRUE(release(id, Kind::shm));
    EXPECT_EQ(process_.held(Kind::timer), 0u);
  }
  static void acquire(uint64_t id, Kind kind = Kind::timer, std::string_view target = "", uint64_t bytes = 0) {
    handle_acquired({kind, id, bytes, target}, 1, unwind::caller_registers());
  }
  static bool release(uint64_t id, Kind kind = Kind::timer, bool succeeds = true) {
    HandleRelease begun = handle_releasing(kind, id);
    handle_released(begun, succeeds);
    return begun.record;
  }
  /// The ids of those that the ledger says are held, the oldest record first.
  std::vector<uint64_t> held(Kind kind) {
    std::vector<uint64_t> ids;
    for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
      auto& record = process_.record<HandleRecord>(SectionId::handles, at);
      uint64_t word = record.word;
      if (word && ledger::handle_kind(word) == kind) ids.push_back(record.id);
    }
    return ids;
  }
  HandleRecord& newest() {
    HandleRecord* result = nullptr;
    for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
      auto& record = process_.record<HandleRecord>(SectionId::handles, at);
      if (record.word && (!result || ledger::handle_serial(record.word) > ledger::handle_serial(result->word)))
        result = &record;
    }
    return *result;
  }
  using Ids = std::vector<uint64_t>;

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(HandlesTest, OneIsHeldUntilItIsReleased) {
  acquire(5, Kind::timer, "CLOCK_REALTIME", 9);
  EXPECT_EQ(held(Kind::timer), (Ids{5}));
  EXPECT_EQ(process_.held(Kind::timer), 1u);
  EXPECT_EQ(newest().bytes, 9u);
  EXPECT_STREQ(newest().target, "CLOCK_REALTIME");
  EXPECT_EQ(newest().tid, base::current_tid());
  EXPECT_EQ(newest().flags, 0u);
  EXPECT_NE(ledger::handle_site(newest().word), 0u);
  EXPECT_TRUE(handle_is_known(Kind::timer, 5));
  EXPECT_FALSE(handle_is_known(Kind::timer, 6));
  EXPECT_FALSE(handle_is_known(Kind::library, 5)) << "another kind";
  EXPECT_FALSE(release(5, Kind::library));
  EXPECT_FALSE(release(6));
  EXPECT_TRUE(release(5));
  EXPECT_EQ(held(Kind::timer), Ids());
  EXPECT_EQ(process_.held(Kind::timer), 0u);
  EXPECT_FALSE(release(5)) << "a second time";
  EXPECT_EQ(process_.held(Kind::timer), 0u);
}

TEST_F(HandlesTest, AReleaseThatFailsReleasesNothing) {
  acquire(5);
  uint64_t word = newest().word;
  EXPECT_TRUE(release(5, Kind::timer, false));
  EXPECT_EQ(held(Kind::timer), (Ids{5}));
  EXPECT_EQ(newest().word, word);
  EXPECT_EQ(process_.held(Kind::timer), 1u);
  EXPECT_TRUE(handle_is_known(Kind::timer, 5));
}

TEST_F(HandlesTest, DuringTheReleasingCallItIsNobodys) {
  acquire(5);
  HandleRelease begun = handle_releasing(Kind::timer, 5);
  EXPECT_FALSE(handle_is_known(Kind::timer, 5));
  EXPECT_EQ(held(Kind::timer), Ids());
  acquire(5);  // another thread gets the same number
  handle_released(begun, true);
  EXPECT_EQ(held(Kind::timer), (Ids{5}));
  EXPECT_EQ(process_.held(Kind::timer), 1u);
}

TEST_F(HandlesTest, OneThatIsHeldTwiceIsReleasedTwice) {
  acquire(5, Kind::library, "first");
  acquire(5, Kind::library, "second");
  EXPECT_EQ(process_.held(Kind::library), 2u);
  EXPECT_TRUE(release(5, Kind::library));
  EXPECT_STREQ(newest().target, "first") << "the newest goes first";
  EXPECT_TRUE(release(5, Kind::library));
  EXPECT_FALSE(release(5, Kind::library));
}

TEST_F(HandlesTest, RecordsAreUsedAgain) {
  for (uint64_t id = 1; id <= 3; ++id) acquire(id);
  uint64_t records = process_.count(SectionId::handles);
  for (int round = 0; round < 5; ++round) {
    for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(release(id));
    for (uint64_t id = 1; id <= 3; ++id) acquire(id);
  }
  EXPECT_EQ(process_.count(SectionId::handles), records);
}

TEST_F(HandlesTest, ManyAreFoundEach) {
  for (uint64_t id = 0; id < 5000; ++id) acquire(id * 8, Kind::shm);
  for (uint64_t id = 0; id < 5000; id += 2) ASSERT_TRUE(release(id * 8, Kind::shm)) << id;
  for (uint64_t id = 0; id < 5000; ++id) ASSERT_EQ(handle_is_known(Kind::shm, id * 8), id % 2 == 1) << id;
  EXPECT_EQ(process_.held(Kind::shm), 2500u);
}

TEST_F(HandlesTest, ALongTargetIsCut) {
  std::string target(1000, 'x');
  acquire(5, Kind::timer, target);
  EXPECT_EQ(std::string(newest().target), target.substr(0, sizeof newest().target - 1));
  acquire(6);
  EXPECT_STREQ(newest().target, "");
}

TEST_F(HandlesTest, WhatIsAcquiredInAPauseIsListedAndNotCounted) {
  {
    test::Paused paused;
    acquire(5);
  }
  EXPECT_EQ(held(Kind::timer), (Ids{5}));
  EXPECT_EQ(newest().flags, ledger::kHandleIgnored);
  EXPECT_EQ(process_.held(Kind::timer), 0u);
  LiveSince live;
  handle_live_since(Kind::timer, 0, live);
  EXPECT_EQ(live.total(), 0);
  EXPECT_TRUE(release(5));
  EXPECT_EQ(process_.held(Kind::timer), 0u);
}

TEST_F(HandlesTest, WhatWasAcquiredSinceAMarkIsCounted) {
  acquire(5, Kind::shm, "", 100);
  uint32_t mark = g_tracker.serial;
  acquire(6, Kind::shm, "", 20);
  acquire(7, Kind::shm, "", 3);
  acquire(8);
  LiveCount table[256] = {};
  LiveSince live(table);
  handle_live_since(Kind::shm, mark, live);
  EXPECT_EQ(live.total(), 2);
  uint64_t bytes = live.rest().bytes;
  for (size_t site = 0; site < live.sites(); ++site) bytes += live.of(site).bytes;
  EXPECT_EQ(bytes, 23u);
}

TEST_F(HandlesTest, LimitsThatWereReachedAreRecorded) {
  uint64_t before = process_.count(SectionId::failures);
  auto fail = [](int error) {
    errno = error;
    handle_not_acquired(Kind::timer, 1, unwind::caller_registers());
    EXPECT_EQ(errno, error);
  };
  for (int error : {EINVAL, EPERM, ENOENT}) fail(error);
  EXPECT_EQ(process_.count(SectionId::failures), before) << "these are no limits";
  for (int error : {EAGAIN, ENOMEM, ENOSPC, EMFILE}) fail(error);
  EXPECT_EQ(process_.count(SectionId::failures), before + 4);
}

TEST_F(HandlesTest, WithoutTrackingNothingIsRecorded) {
  acquire(5);
  {
    test::Untracked untracked;
    acquire(6);
    EXPECT_FALSE(release(5));
    EXPECT_FALSE(handle_is_known(Kind::timer, 5));
  }
  EXPECT_EQ(held(Kind::timer), (Ids{5}));
}

TEST_F(HandlesTest, AForkChildForgetsItsParents) {
  acquire(5);
  acquire(6);
  EXPECT_TRUE(release(6));
  // The child's ledger is a new one.
  process_.header().sections[static_cast<size_t>(SectionId::handles)].count = 0;
  process_.totals(Kind::timer).live = 0;
  process_.record<HandleRecord>(SectionId::handles, 0).word = 0;
  uint64_t id = 5;
  reset_handles_after_fork();
  acquire(7);
  EXPECT_EQ(process_.record<HandleRecord>(SectionId::handles, 0).id, 7u) << "none of the parent's records is free";
  process_.record<HandleRecord>(SectionId::handles, 0).id = id;
  EXPECT_FALSE(handle_is_known(Kind::timer, id)) << "nothing leads to a record by the parent's number";
  process_.record<HandleRecord>(SectionId::handles, 0).id = 7;
}

TEST_F(HandlesTest, ErrnoIsKept) {
  errno = 77;
  acquire(5);
  EXPECT_EQ(errno, 77);
  EXPECT_TRUE(handle_is_known(Kind::timer, 5));
  EXPECT_TRUE(release(5));
  EXPECT_EQ(errno, 77);
}

}  // namespace
}  // namespace unfreed::track
