// Descriptors from the call that acquires them to the one that closes them, and closes that are wrong.
#include "track/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <string>
#include <thread>

#include "support/tracked_process.h"
#include "track/misuse.h"

namespace unfreed::track {
namespace {

using ledger::FdOrigin;
using ledger::FdOwner;
using ledger::FdRecord;
using ledger::FdTargetForm;
using ledger::Kind;
using ledger::Misuse;
using ledger::MisuseKind;
using ledger::SectionId;

/// Each call of these is a call site of its own.
[[gnu::noinline]] int open_by(int fd, const char* path = nullptr) {
  return fd_opened(fd, path, 1, unwind::caller_registers());
}
template <class Call>
[[gnu::noinline]] int close_by(int fd, Call call) {
  return fd_closing(fd, {2, unwind::caller_registers()}, call);
}
int succeed() { return 0; }
int fail_with(int error) {
  errno = error;
  return -1;
}

class FdTest : public ::testing::Test {
 protected:
  FdTest() {
    reset_misuse_after_fork();
    for (uint64_t at = 0; at < process_.count(SectionId::misuses); ++at) {
      auto& misuse = process_.record<Misuse>(SectionId::misuses, at);
      before_[at] = misuse.count;
    }
    held_before_ = process_.held(Kind::fd);
  }
  FdRecord& record(int fd) { return process_.record<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd)); }
  uint64_t held() { return process_.held(Kind::fd) - held_before_; }
  /// How often a kind of misuse has been noted in this test.
  uint64_t noted(MisuseKind kind) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < process_.count(SectionId::misuses); ++at) {
      auto& misuse = process_.record<Misuse>(SectionId::misuses, at);
      if (misuse.kind == static_cast<uint8_t>(kind)) count += misuse.count - before_[at];
    }
    return count;
  }
  uint64_t noted() {
    uint64_t count = 0;
    for (MisuseKind kind : {MisuseKind::double_close, MisuseKind::not_open, MisuseKind::behind_owner,
                            MisuseKind::stale_owner, MisuseKind::standard_closed})
      count += noted(kind);
    return count;
  }
  Misuse& newest_misuse() {
    return process_.record<Misuse>(SectionId::misuses, process_.count(SectionId::misuses) - 1);
  }
  std::string target(int fd) {
    const ledger::FdTarget& known = record(fd).target;
    if (known.serial != ledger::fd_serial(record(fd).word)) return "none";
    return std::string(known.value, known.bytes);
  }

  // Numbers that are not open.
  static constexpr int kFd = 700, kOther = 740;
  test::TrackedProcess& process_ = test::TrackedProcess::the();
  std::map<uint64_t, uint64_t> before_;
  uint64_t held_before_;
};

TEST_F(FdTest, OneIsHeldUntilItIsClosed) {
  EXPECT_EQ(open_by(kFd, "/tmp/x"), kFd);
  EXPECT_EQ(held(), 1u);
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::acquired);
  EXPECT_EQ(target(kFd), "/tmp/x");
  EXPECT_EQ(record(kFd).tid, static_cast<uint32_t>(base::current_tid()));
  uint64_t word = record(kFd).word;
  EXPECT_NE(ledger::fd_site(word), 0u);
  EXPECT_EQ(close_by(kFd, succeed), 0);
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none);
  EXPECT_EQ(record(kFd).closed.word, word);
  EXPECT_NE(record(kFd).closed.closed_site, 0u);
  EXPECT_GE(record(kFd).closed.closed_ns, record(kFd).closed.acquired_ns);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, ANumberThatIsHandedOutAgainWasClosedUnseen) {
  open_by(kFd);
  uint32_t serial = ledger::fd_serial(record(kFd).word);
  open_by(kFd);
  EXPECT_EQ(held(), 1u);
  EXPECT_NE(ledger::fd_serial(record(kFd).word), serial);
  close_by(kFd, succeed);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, WhatFailedForALimitIsRecorded) {
  uint64_t failures = process_.count(SectionId::failures);
  for (int error : {EACCES, ENOENT, EINTR}) {
    errno = error;
    EXPECT_EQ(open_by(-1), -1);
    EXPECT_EQ(errno, error);
  }
  EXPECT_EQ(process_.count(SectionId::failures), failures);
  for (int error : {EMFILE, ENFILE, ENOMEM}) {
    errno = error;
    EXPECT_EQ(open_by(-1), -1);
    EXPECT_EQ(errno, error);
  }
  EXPECT_EQ(process_.count(SectionId::failures), failures + 3);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, OfALongPathTheEndIsKept) {
  std::string path;
  for (int i = 0; path.size() < 400; ++i) path += "/" + std::to_string(i);
  open_by(kFd, path.c_str());
  size_t room = sizeof record(kFd).target.value;
  EXPECT_EQ(target(kFd), path.substr(path.size() - room));
  EXPECT_TRUE(record(kFd).target.cut);
  path = path.substr(0, room);
  open_by(kFd, path.c_str());
  EXPECT_EQ(target(kFd), path);
  EXPECT_FALSE(record(kFd).target.cut);
  close_by(kFd, succeed);
}

TEST_F(FdTest, ACopyLeadsWhereTheOriginalDoes) {
  open_by(kFd, "/tmp/original");
  fd_duplicated(kOther, kFd, 1, unwind::caller_registers());
  EXPECT_EQ(target(kOther), "/tmp/original");
  EXPECT_EQ(fd_flags_known(kOther), ledger::kFdPlaced);
  EXPECT_EQ(fd_flags_known(kFd), 0u);
  close_by(kFd, succeed);
  fd_duplicated(kOther, kFd, 1, unwind::caller_registers());
  EXPECT_EQ(target(kOther), "none") << "the original is closed";
  close_by(kOther, succeed);
  EXPECT_EQ(fd_flags_known(kOther), 0u);
}

TEST_F(FdTest, AnAddressIsKeptFromItsBeginning) {
  open_by(kFd);
  EXPECT_EQ(target(kFd), "none");
  sockaddr_in address{};
  address.sin_port = 80;
  fd_addressed(kFd, FdTargetForm::peer, &address, sizeof address);
  EXPECT_EQ(target(kFd), std::string(reinterpret_cast<char*>(&address), sizeof address));
  EXPECT_EQ(record(kFd).target.form, static_cast<uint8_t>(FdTargetForm::peer));
  fd_addressed(kFd, FdTargetForm::peer, nullptr, 0);
  EXPECT_EQ(target(kFd).size(), sizeof address);
  std::string large(400, 'a');
  large[0] = 'b';
  fd_addressed(kFd, FdTargetForm::address, large.data(), 400);
  EXPECT_EQ(target(kFd), large.substr(0, sizeof record(kFd).target.value));
  close_by(kFd, succeed);
  fd_addressed(kFd, FdTargetForm::peer, &address, sizeof address);
  EXPECT_EQ(target(kFd), "none") << "it is closed";
}

TEST_F(FdTest, WhatArrivesCountsWhereItIsTheProcesss) {
  fd_arrived(kFd, FdOrigin::received, 1, unwind::caller_registers());
  fd_arrived(kOther, FdOrigin::libc, 1, unwind::caller_registers());
  fd_arrived(-1, FdOrigin::received, 1, unwind::caller_registers());
  EXPECT_EQ(held(), 1u);
  EXPECT_NE(ledger::fd_site(record(kFd).word), 0u);
  EXPECT_EQ(ledger::fd_site(record(kOther).word), 0u);
  EXPECT_EQ(fd_origin_known(kOther), FdOrigin::libc);
  close_by(kOther, succeed);
  EXPECT_EQ(held(), 1u);
  close_by(kFd, succeed);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, WhatIsOpenedInAPauseIsListedAndNotCounted) {
  {
    test::Paused paused;
    open_by(kFd);
  }
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::ignored);
  EXPECT_EQ(held(), 0u);
  close_by(kFd, succeed);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, TheProgramMayAskThatOneDoesNotCount) {
  EXPECT_FALSE(fd_ignore(kFd));
  open_by(kFd);
  EXPECT_TRUE(fd_ignore(kFd));
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::ignored);
  EXPECT_EQ(held(), 0u);
  close_by(kFd, succeed);
  EXPECT_EQ(held(), 0u);
  EXPECT_FALSE(fd_ignore(100'000));
}

TEST_F(FdTest, WhatWasOpenedSinceAMarkIsCountedIfItIsOpen) {
  int open_before = open("/dev/null", O_RDONLY | O_CLOEXEC), open_since = open("/dev/null", O_RDONLY | O_CLOEXEC);
  open_by(open_before);
  uint32_t mark = fd_latest_serial();
  open_by(open_since);
  open_by(kFd);  // the kernel does not know it
  fd_arrived(kOther, FdOrigin::libc, 1, unwind::caller_registers());
  LiveSince live;
  fd_live_since(mark, live);
  EXPECT_EQ(live.total(), 1);
  for (int fd : {open_before, open_since}) close_by(fd, [&] { return close(fd); });
  for (int fd : {kFd, kOther}) close_by(fd, succeed);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, ACloseThatFailsHasClosedUnlessTheKernelSaysOtherwise) {
  open_by(kFd);
  EXPECT_EQ(close_by(kFd, [] { return fail_with(EIO); }), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(held(), 0u) << "a failed close has closed";
  int real = open("/dev/null", O_RDONLY | O_CLOEXEC);
  open_by(real);
  EXPECT_EQ(close_by(real, [] { return fail_with(EBADF); }), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(held(), 1u) << "it is still open";
  EXPECT_EQ(record(real).closed.word, 0u);
  EXPECT_EQ(close_by(real, [&] { return close(real); }), 0);
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, AFileSystemMayAnswerEbadfForWhatWasOpen) {
  open_by(kFd);
  EXPECT_EQ(close_by(kFd, [] { return fail_with(EBADF); }), -1);
  EXPECT_EQ(held(), 0u) << "the kernel says that it is closed";
  EXPECT_EQ(noted(), 0u) << "the program has done nothing wrong";
}

TEST_F(FdTest, ClosingTwiceNamesBothClosesAndTheOpening) {
  open_by(kFd);
  uint32_t opened = ledger::fd_site(record(kFd).word);
  close_by(kFd, succeed);
  uint32_t closed = record(kFd).closed.closed_site;
  close_by(kFd, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::double_close), 1u);
  EXPECT_EQ(noted(), 1u);
  const Misuse& misuse = newest_misuse();
  EXPECT_EQ(misuse.fd, kFd);
  EXPECT_EQ(misuse.opened_site, opened);
  EXPECT_EQ(misuse.closed_site, closed);
  EXPECT_NE(misuse.site, closed);
  EXPECT_EQ(misuse.tid, base::current_tid());
  EXPECT_EQ(misuse.closed_tid, base::current_tid());
  EXPECT_NE(misuse.first_ns, 0u);
}

TEST_F(FdTest, AThreadThatClosesAnothersNumberIsTheOneThatClosedTwice) {
  std::atomic<int> step{0};
  int tid = 0;
  auto wait_for = [&](int number) {
    while (step != number) sched_yield();
  };
  std::thread other([&] {
    tid = base::current_tid();
    open_by(kFd);
    close_by(kFd, succeed);
    step = 1;
    wait_for(2);
    close_by(kFd, succeed);
    step = 3;
    retire_own_state();
  });
  wait_for(1);
  uint32_t its_opening = ledger::fd_site(record(kFd).closed.word);
  open_by(kFd);
  uint32_t opening = ledger::fd_site(record(kFd).word);
  step = 2;
  wait_for(3);
  other.join();
  close_by(kFd, [] { return fail_with(EBADF); });
  ASSERT_EQ(noted(MisuseKind::double_close), 1u);
  const Misuse& misuse = newest_misuse();
  EXPECT_EQ(misuse.opened_site, its_opening);
  EXPECT_EQ(misuse.opened_tid, tid);
  EXPECT_EQ(misuse.tid, tid);
  EXPECT_EQ(misuse.closed_tid, tid);
  EXPECT_EQ(misuse.reopened_site, opening);
  EXPECT_EQ(misuse.reopened_tid, base::current_tid());
}

[[gnu::noinline]] void close_in_wrapper(int fd, int (*call)()) {
  close_by(fd, call);
  asm volatile("");
}

TEST_F(FdTest, CodeThatClosesAnothersNumberIsTheOneThatClosedTwice) {
  open_by(kFd);
  uint32_t its_opening = ledger::fd_site(record(kFd).word);
  close_in_wrapper(kFd, succeed);
  open_by(kFd);
  uint32_t opening = ledger::fd_site(record(kFd).word);
  close_in_wrapper(kFd, succeed);
  close_by(kFd, [] { return fail_with(EBADF); });
  ASSERT_EQ(noted(MisuseKind::double_close), 1u);
  EXPECT_EQ(newest_misuse().opened_site, its_opening);
  EXPECT_EQ(newest_misuse().reopened_site, opening);
}

TEST_F(FdTest, WithoutClearEvidenceTheNewerOwnerHasClosedTwice) {
  auto fail = [] { return fail_with(EBADF); };
  for (int way = 0; way < 2; ++way) {
    int fd = kFd + way;
    int rounds = 2;
    asm volatile("" : "+r"(rounds));
    if (way == 0) {
      open_by(fd);
      close_in_wrapper(fd, succeed);
      rounds = 1;
    }
    for (int round = 0; round < rounds; ++round) {
      open_by(fd);
      close_in_wrapper(fd, succeed);
    }
    uint32_t opening = ledger::fd_site(record(fd).closed.word);
    if (way == 0)
      close_in_wrapper(fd, fail);  // by the code that closes the newer one, too
    else
      close_by(fd, fail);  // both were opened at one place
    ASSERT_EQ(noted(MisuseKind::double_close), static_cast<uint64_t>(way) + 1);
    EXPECT_EQ(newest_misuse().opened_site, opening) << way;
    EXPECT_EQ(newest_misuse().reopened_site, 0u) << way;
  }
}

TEST_F(FdTest, InAPauseNoMisuseIsNoted) {
  test::Paused paused;
  close_by(kFd + 1, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, ClosingWhatWasNeverOpenIsNoted) {
  close_by(kFd + 2, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 1u);
  close_by(-1, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 2u);
}

TEST_F(FdTest, ALoopOverAllNumbersIsNoMisuse) {
  for (int step : {1, -1, 16})
    for (int i = 0; i < 8; ++i) close_by(800 + step * i, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, WhatALoopClosesOfStreamsIsNoMisuse) {
  open_by(905);
  fd_adopted(905, {FdOwner::file_stream, this});
  for (int fd = 900; fd < 910; ++fd) close_by(fd, [&] { return fd == 905 ? 0 : fail_with(EBADF); });
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, ClosesThatAreNoLoopAreEachNoted) {
  // Too far apart; to and fro; the same one.
  for (int fd : {1000, 1017, 1034, 1051}) close_by(fd, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 4u);
  for (int fd : {1100, 1101, 1100, 1101, 1100}) close_by(fd, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 9u);
  for (int i = 0; i < 5; ++i) close_by(1200, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 14u);
}

TEST_F(FdTest, ALoopOfTwoIsNone) {
  for (int fd : {1300, 1301}) close_by(fd, [] { return fail_with(EBADF); });
  EXPECT_EQ(noted(MisuseKind::not_open), 2u);
}

TEST_F(FdTest, AStreamOwnsItsDescriptor) {
  open_by(kFd);
  FdOwnership stream{FdOwner::directory_stream, this};
  EXPECT_FALSE(fd_is_owned_by(kFd, stream));
  fd_adopted(kFd, stream);
  EXPECT_TRUE(fd_is_owned_by(kFd, stream));
  EXPECT_FALSE(fd_is_owned_by(kFd, {FdOwner::file_stream, this}));
  EXPECT_FALSE(fd_is_owned_by(kFd, {FdOwner::directory_stream, &stream}));
  uint32_t opened = ledger::fd_site(record(kFd).word);
  close_by(kFd, succeed);
  EXPECT_FALSE(fd_is_owned_by(kFd, stream));
  EXPECT_EQ(noted(MisuseKind::behind_owner), 1u);
  EXPECT_EQ(noted(), 1u);
  EXPECT_EQ(newest_misuse().owner_kind, static_cast<uint8_t>(FdOwner::directory_stream));
  EXPECT_EQ(newest_misuse().opened_site, opened);
  fd_adopted(100'000, stream);
  EXPECT_FALSE(fd_is_owned_by(100'000, stream));
}

TEST_F(FdTest, ItsStreamMayCloseIt) {
  open_by(kFd);
  fd_adopted(kFd, {FdOwner::file_stream, this});
  FdCloser closer{2, unwind::caller_registers(), this};
  fd_closing(kFd, closer, succeed);
  EXPECT_EQ(noted(), 0u);
  EXPECT_EQ(held(), 0u);
  fd_closing(-1, closer, succeed);
  EXPECT_EQ(noted(), 0u) << "a stream without a descriptor closes none";
}

TEST_F(FdTest, AnInheritedOneMayBeClosedByNumber) {
  fd_arrived(kFd, FdOrigin::inherited, 1, unwind::caller_registers());
  fd_adopted(kFd, {FdOwner::file_stream, this});
  close_by(kFd, succeed);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, AStreamThatClosesANewOnesNumberIsStale) {
  open_by(kFd);
  fd_adopted(kFd, {FdOwner::file_stream, this});
  close_by(kFd, succeed);  // behind its owner
  open_by(kFd);
  uint32_t opened = ledger::fd_site(record(kFd).word);
  fd_closing(kFd, {2, unwind::caller_registers(), this}, succeed);
  EXPECT_EQ(noted(MisuseKind::stale_owner), 1u);
  EXPECT_EQ(newest_misuse().opened_site, opened);
  int other = 0;
  open_by(kFd);
  fd_closing(kFd, {2, unwind::caller_registers(), &other}, succeed);
  EXPECT_EQ(noted(MisuseKind::stale_owner), 1u) << "that stream was never closed behind its back";
}

TEST_F(FdTest, ReplacingWhatAStreamOwnsKeepsItsOwner) {
  open_by(kOther, "/tmp/source");
  open_by(kFd);
  fd_adopted(kFd, {FdOwner::file_stream, this});
  EXPECT_EQ(fd_replacing(kOther, kFd, 3, unwind::caller_registers(), [] { return kFd; }), kFd);
  EXPECT_TRUE(fd_is_owned_by(kFd, {FdOwner::file_stream, this}));
  EXPECT_EQ(target(kFd), "/tmp/source");
  EXPECT_EQ(fd_flags_known(kFd), ledger::kFdPlaced);
  EXPECT_EQ(held(), 2u);
  EXPECT_EQ(fd_replacing(kOther, kFd, 3, unwind::caller_registers(), [] { return fail_with(EINTR); }), -1);
  EXPECT_EQ(fd_replacing(kOther, kOther, 3, unwind::caller_registers(), [] { return kOther; }), kOther);
  EXPECT_EQ(noted(), 0u);
  for (int fd : {kFd, kOther}) fd_closing(fd, {2, unwind::caller_registers(), this}, succeed);
}

TEST_F(FdTest, ARangeClosesWhatWasOpenedBefore) {
  for (int fd = kFd; fd < kFd + 5; ++fd) open_by(fd);
  fd_adopted(kFd + 1, {FdOwner::file_stream, this});
  unsigned first = kFd + 1, last = kFd + 3;
  FdCloser closer{4, unwind::caller_registers()};
  EXPECT_EQ(fd_range_closing({first, last}, closer, [] { return fail_with(EINVAL); }), -1);
  EXPECT_EQ(held(), 5u) << "it failed";
  fd_range_closing({first, last}, closer, [] {
    open_by(kFd + 2);  // another thread gets the number meanwhile
    return 0;
  });
  EXPECT_EQ(held(), 3u);
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::acquired);
  EXPECT_EQ(fd_origin_known(kFd + 1), FdOrigin::none);
  EXPECT_EQ(fd_origin_known(kFd + 2), FdOrigin::acquired);
  EXPECT_EQ(fd_origin_known(kFd + 3), FdOrigin::none);
  EXPECT_EQ(fd_origin_known(kFd + 4), FdOrigin::acquired);
  EXPECT_NE(record(kFd + 1).closed.closed_site, 0u);
  EXPECT_EQ(noted(), 0u);
  fd_range_closing({first - 1, UINT32_MAX}, closer, succeed);
  EXPECT_EQ(held(), 0u);
  open_by(kFd);
  fd_range_closing({kFd, kFd}, closer, succeed);
  EXPECT_EQ(held(), 0u) << "of one number";
}

TEST_F(FdTest, AfterFcloseallTheStreamsAreForgottenThatAreClosed) {
  int real = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int fd : {kFd, kOther, real}) open_by(fd);
  fd_adopted(kFd, {FdOwner::file_stream, this});
  fd_adopted(real, {FdOwner::file_stream, this});
  fd_streams_closed();
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none);
  EXPECT_EQ(fd_origin_known(kOther), FdOrigin::acquired) << "it has no stream";
  EXPECT_EQ(fd_origin_known(real), FdOrigin::acquired) << "it is open";
  EXPECT_EQ(held(), 2u);
  fd_closing(real, {2, unwind::caller_registers(), this}, [&] { return close(real); });
  close_by(kOther, succeed);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, AnotherThreadsCloseOfTheSameNumberIsNotCountedTwice) {
  open_by(kFd);
  FdCloser closer{2, unwind::caller_registers()};
  FdRelease first = fd_release_begins(kFd, closer), second = fd_release_begins(kFd, closer);
  EXPECT_FALSE(first.second);
  EXPECT_TRUE(second.second);
  fd_closed(kFd, first);
  fd_closed(kFd, second);
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, ANumberThatIsANewOnesByNowStaysThat) {
  open_by(kFd);
  FdRelease release = fd_release_begins(kFd, {2, unwind::caller_registers()});
  open_by(kFd);  // another thread has got it
  fd_closed(kFd, release);
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::acquired);
  EXPECT_EQ(held(), 1u);
  release = fd_release_begins(kFd, {2, unwind::caller_registers()});
  fd_ignore(kFd);  // it is the same one
  fd_closed(kFd, release);
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none);
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, AStandardStreamThatIsClosedAndNotFilledIsNoted) {
  for (int fd = 0; fd <= 2; ++fd) fd_arrived(fd, FdOrigin::inherited, 1, unwind::caller_registers());
  close_by(1, succeed);
  EXPECT_EQ(noted(MisuseKind::standard_closed), 1u);
  open_by(1, "/dev/null");
  EXPECT_EQ(noted(), 0u) << "that is what it was closed for";
  fd_arrived(1, FdOrigin::inherited, 1, unwind::caller_registers());
  close_by(1, succeed);
  open_by(1, "/tmp/data");
  EXPECT_EQ(noted(MisuseKind::standard_closed), 1u) << "this got the number by accident";
}

/// Each call of one of these is by the same code.
[[gnu::noinline]] void close_output(int fd) {
  close_by(fd, succeed);
  asm volatile("");
}
[[gnu::noinline]] void close_data(int fd) {
  close_by(fd, succeed);
  asm volatile("" ::: "memory");
}

TEST_F(FdTest, CodeThatClosesAStandardStreamTwiceClosesSomeoneElsesDescriptor) {
  fd_arrived(1, FdOrigin::inherited, 1, unwind::caller_registers());
  close_output(1);
  ASSERT_EQ(noted(MisuseKind::standard_closed), 1u);
  uint32_t first_close = record(1).closed.closed_site;
  open_by(1, "/tmp/data");
  uint32_t opening = ledger::fd_site(record(1).word);
  close_output(1);
  EXPECT_EQ(noted(MisuseKind::standard_closed), 2u);
  const Misuse& misuse = newest_misuse();
  EXPECT_EQ(misuse.kind, static_cast<uint8_t>(MisuseKind::standard_closed));
  EXPECT_EQ(misuse.fd, 1);
  EXPECT_EQ(misuse.opened_site, opening);
  EXPECT_EQ(misuse.closed_site, first_close);
  EXPECT_NE(misuse.site, first_close);
  for (int32_t tid : {misuse.opened_tid, misuse.closed_tid, misuse.tid}) EXPECT_EQ(tid, base::current_tid());
  EXPECT_EQ(misuse.opened_ns, record(1).closed.acquired_ns);
  EXPECT_EQ(misuse.closed_ns, record(1).before.closed_ns);
}

TEST_F(FdTest, WhoClosesWhatGotAStandardStreamsNumberMayBeItsOwner) {
  struct Case {
    const char* what;
    FdOrigin before;
    bool is_same_code;
    bool is_placed;
  };
  for (const Case& one : {Case{"other code", FdOrigin::inherited, false, false},
                          Case{"it is there on purpose", FdOrigin::inherited, true, true},
                          Case{"no standard stream was closed", FdOrigin::acquired, true, false}}) {
    reset_misuse_after_fork();
    open_by(kOther, "/tmp/data");
    fd_arrived(2, one.before, 1, unwind::caller_registers());
    close_output(2);
    uint64_t before = noted(MisuseKind::standard_closed);
    if (one.is_placed)
      fd_duplicated(2, kOther, 1, unwind::caller_registers());
    else
      open_by(2, "/tmp/data");
    uint64_t filled = noted(MisuseKind::standard_closed);
    EXPECT_EQ(filled, one.is_placed ? before - 1 : before) << one.what;
    one.is_same_code ? close_output(2) : close_data(2);
    EXPECT_EQ(noted(MisuseKind::standard_closed), filled) << one.what;
    close_by(kOther, succeed);
  }
}

TEST_F(FdTest, AllThreeStandardStreamsAreClosedOnPurpose) {
  for (int fd = 0; fd <= 2; ++fd) fd_arrived(fd, FdOrigin::inherited, 1, unwind::caller_registers());
  close_by(2, succeed);
  close_by(0, succeed);
  EXPECT_EQ(noted(MisuseKind::standard_closed), 2u);
  close_by(1, succeed);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, ALoopThatClosesAStandardStreamIsTakenBackAsAWhole) {
  fd_arrived(2, FdOrigin::inherited, 1, unwind::caller_registers());
  for (int fd : {-14, 2, 18, 34}) {
    close_by(fd, [&] { return fd == 2 ? 0 : fail_with(EBADF); });
    if (fd != 2) continue;
    EXPECT_EQ(noted(MisuseKind::not_open), 1u);
    EXPECT_EQ(noted(MisuseKind::standard_closed), 1u);
    open_by(2, "/dev/null");
    EXPECT_EQ(noted(MisuseKind::standard_closed), 0u);
  }
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, AForkedChildArrangesItsStandardStreams) {
  fd_arrived(1, FdOrigin::inherited, 1, unwind::caller_registers());
  g_tracker.has_unseen_past = true;
  close_by(1, succeed);
  g_tracker.has_unseen_past = false;
  EXPECT_EQ(noted(), 0u);
}

TEST_F(FdTest, AForkedChildTakesNothingBackOfWhatItsParentNoted) {
  fd_arrived(1, FdOrigin::inherited, 1, unwind::caller_registers());
  for (int fd : {1500, 1501, 1, 1502, 1503}) {
    if (fd >= 1502) reset_misuse_after_fork();
    close_by(fd, [&] { return fd == 1 ? 0 : fail_with(EBADF); });
  }
  EXPECT_EQ(noted(MisuseKind::not_open), 4u) << "parent and child, two each: no loop over all numbers";
  open_by(1, "/dev/null");
  EXPECT_EQ(noted(MisuseKind::standard_closed), 1u);
  close_by(1, succeed);
}

TEST_F(FdTest, WhatIsOpenAtTheStartIsInherited) {
  int real = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int known = open("/dev/null", O_RDONLY | O_CLOEXEC);
  open_by(known);
  fd_take_inherited();
  EXPECT_EQ(fd_origin_known(real), FdOrigin::inherited);
  EXPECT_EQ(fd_origin_known(known), FdOrigin::acquired) << "what is known stays";
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none);
  EXPECT_EQ(held(), 1u);
  for (int fd : {real, known}) close_by(fd, [&] { return close(fd); });
  EXPECT_EQ(held(), 0u);
}

TEST_F(FdTest, OfItsParentsTableAForkChildKeepsWhatIsOpen) {
  int real = open("/dev/null", O_RDONLY | O_CLOEXEC);
  open_by(real);
  open_by(kFd);
  uint64_t word = record(real).word;
  uint32_t at_fork = g_tracker.serial;
  int later = open("/dev/null", O_RDONLY | O_CLOEXEC);
  open_by(later);
  g_tracker.serial = at_fork;  // as in the child: the parent has gone on
  fd_keep_parents();
  EXPECT_EQ(fd_origin_known(real), FdOrigin::inherited);
  EXPECT_EQ(ledger::fd_site(record(real).word), ledger::fd_site(word));
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none) << "it is closed";
  EXPECT_EQ(fd_origin_known(later), FdOrigin::none) << "the parent opened it after the fork";
  EXPECT_LE(process_.count(SectionId::fds), static_cast<uint64_t>(kFd)) << "the table is read no further than needed";
  for (int fd : {real, later}) close(fd);
}

TEST_F(FdTest, WithoutTrackingNothingIsRecorded) {
  uint64_t held_now = process_.held(Kind::fd);
  open_by(kFd);
  {
    test::Untracked untracked;
    open_by(kOther);
    close_by(kFd, succeed);
    close_by(kFd + 3, [] { return fail_with(EBADF); });
    EXPECT_EQ(fd_origin_known(kFd), FdOrigin::none);
    EXPECT_FALSE(fd_ignore(kFd));
  }
  EXPECT_EQ(fd_origin_known(kFd), FdOrigin::acquired);
  EXPECT_EQ(fd_origin_known(kOther), FdOrigin::none);
  EXPECT_EQ(noted(), 0u);
  close_by(kFd, succeed);
  EXPECT_EQ(process_.held(Kind::fd), held_now);
}

TEST_F(FdTest, ANumberBeyondTheTableIsCounted) {
  auto& dropped = process_.header().dropped[static_cast<size_t>(ledger::Dropped::fds_out_of_range)];
  uint64_t before = dropped;
  int beyond = static_cast<int>(g_tracker.writer.section(SectionId::fds).capacity);
  EXPECT_EQ(open_by(beyond), beyond);
  EXPECT_EQ(dropped, before + 1);
}

/// In a fork child, which keeps what its parent held. Ends it, by 0 if all is as it should be.
void keep_what_the_parent_held(const ledger::Writer& writer) {
  int held = open_by(open("/dev/null", O_RDONLY)), closed = open_by(open("/dev/null", O_RDONLY));
  close_by(closed, [&] { return close(closed); });
  int again = open_by(open("/dev/null", O_RDONLY));
  close_by(again, [&] { return close(again); });
  int unseen = open_by(open("/dev/null", O_RDONLY));
  close(unseen);
  auto record = [&](int fd) -> FdRecord& { return *writer.at<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd)); };
  uint64_t word = record(held).word;
  bool was_closed = again == closed && unseen == again && record(closed).before.word && record(closed).closed.word;
  fd_keep_parents();
  uint64_t now = record(held).word;
  bool is_kept = ledger::fd_origin(now) == FdOrigin::inherited && ledger::fd_site(now) == ledger::fd_site(word) &&
                 ledger::fd_serial(now) == ledger::fd_serial(word);
  bool is_gone = !record(closed).word && !record(closed).before.word && !record(closed).closed.word;
  uint64_t count = writer.section(SectionId::fds).count;
  bool is_last = count > static_cast<uint64_t>(held) && record(static_cast<int>(count) - 1).word;
  _exit(!was_closed ? 1 : !is_kept ? 2 : !is_gone ? 3 : !is_last ? 4 : 0);
}

TEST_F(FdTest, AForkChildKeepsWhatItsParentHeld) {
  EXPECT_EXIT(keep_what_the_parent_held(g_tracker.writer), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace unfreed::track
