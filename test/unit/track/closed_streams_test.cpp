// Streams that are closed again.
#include "track/closed_streams.h"

#include <gtest/gtest.h>

#include "support/tracked_process.h"
#include "track/misuse.h"

namespace unfreed::track {
namespace {

using ledger::FdOwner;
using ledger::FdRecord;
using ledger::Kind;
using ledger::Misuse;
using ledger::MisuseKind;
using ledger::SectionId;

constexpr int kFd = 2000;  // no descriptor of the test's own
constexpr uint16_t kHook = 3;

struct alignas(8) Stream {
  char content[8] = {};
};

/// Each call of these is a call site of its own.
[[gnu::noinline]] void open_by(const Stream& stream, int fd = kFd) {
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  fd_adopted(fd, {FdOwner::file_stream, &stream});
  stream_opened(&stream);
}
[[gnu::noinline]] void close_by(const Stream& stream, int fd = kFd) {
  FdRelease release = fd_release_begins(fd, {2, unwind::caller_registers(), &stream});
  stream_closed(&stream, fd, release);
  fd_release_ends(fd, release, true);
}
[[gnu::noinline]] void close_again_by(const Stream& stream) {
  note_closed_stream(&stream, kHook, unwind::caller_registers());
}

class ClosedStreamsTest : public ::testing::Test {
 protected:
  ClosedStreamsTest() : known_(process_.count(SectionId::misuses)) {}
  uint64_t noted() { return process_.count(SectionId::misuses) - known_; }
  Misuse& latest() { return process_.record<Misuse>(SectionId::misuses, process_.count(SectionId::misuses) - 1); }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  uint64_t known_;
};

TEST_F(ClosedStreamsTest, AStreamIsClosedUntilOneIsMadeAtItsAddress) {
  Stream stream;
  open_by(stream);
  EXPECT_FALSE(is_closed_stream(&stream));
  close_by(stream);
  EXPECT_TRUE(is_closed_stream(&stream));
  open_by(stream);
  EXPECT_FALSE(is_closed_stream(&stream));
  close_by(stream);
  EXPECT_TRUE(is_closed_stream(&stream));
}

TEST_F(ClosedStreamsTest, AnotherStreamSaysNothingOfIt) {
  Stream streams[2];
  open_by(streams[0]);
  close_by(streams[0]);
  EXPECT_FALSE(is_closed_stream(&streams[1]));
  open_by(streams[1]);
  EXPECT_TRUE(is_closed_stream(&streams[0]));
  close_by(streams[1]);
}

TEST_F(ClosedStreamsTest, ClosingAgainNamesTheOpeningAndTheClose) {
  Stream stream;
  open_by(stream);
  uint32_t opened = ledger::fd_site(process_.record<FdRecord>(SectionId::fds, kFd).word);
  close_by(stream);
  uint32_t closed = process_.record<FdRecord>(SectionId::fds, kFd).closed.closed_site;
  close_again_by(stream);
  ASSERT_EQ(noted(), 1u);
  EXPECT_EQ(latest().kind, static_cast<uint8_t>(MisuseKind::double_close));
  EXPECT_EQ(latest().owner_kind, static_cast<uint8_t>(FdOwner::file_stream));
  EXPECT_EQ(latest().fd, kFd);
  EXPECT_EQ(latest().opened_site, opened);
  EXPECT_EQ(latest().closed_site, closed);
  EXPECT_NE(latest().site, closed);
  EXPECT_EQ(latest().count, 1u);
}

TEST_F(ClosedStreamsTest, InAPauseNothingIsNoted) {
  Stream stream;
  open_by(stream);
  close_by(stream);
  test::Paused pause;
  close_again_by(stream);
  EXPECT_EQ(noted(), 0u);
}

TEST_F(ClosedStreamsTest, AStreamThatTheProgramWasStartedWithMayBeClosedTwice) {
  Stream stream;
  fd_arrived(kFd, ledger::FdOrigin::inherited, 1, unwind::caller_registers());
  stream_opened(&stream);
  close_by(stream);
  EXPECT_FALSE(is_closed_stream(&stream));
}

TEST_F(ClosedStreamsTest, AStreamOfADescriptorThatWasNotSeenIsNotKept) {
  Stream stream;
  stream_opened(&stream);
  close_by(stream, kFd + 1);
  EXPECT_FALSE(is_closed_stream(&stream));
}

}  // namespace
}  // namespace unfreed::track
