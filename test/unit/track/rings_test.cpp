// Descriptors that io_uring makes and closes. The ring is this test's own memory: it plays the kernel, too.
#include "track/rings.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "support/tracked_process.h"
#include "track/fd.h"

namespace unfreed::track {
namespace {

using ledger::FdRecord;
using ledger::Kind;
using ledger::SectionId;

// As in <linux/io_uring.h>, whose version may be older.
constexpr uint8_t kRead = 22, kAccept = 13, kOpenAt = 18, kClose = 19, kOpenAt2 = 28, kSocket = 45, kInstall = 54;
constexpr uint8_t kSkipsCompletion = 1u << 6;
constexpr uint32_t kMore = 1u << 1;
constexpr uint16_t kHook = 3;

struct Request {
  uint8_t opcode;
  uint64_t user_data = 0;
  int fd = -1;
  uint32_t file_index = 0;
  uint8_t flags = 0;
};

class TestRing {
 public:
  explicit TestRing(uint32_t entry_factor = 1)
      : queues_{sqes_, &tail_, cqes_, kEntries, 2 * kEntries, 64 * entry_factor, 16 * entry_factor} {}

  /// Submits them in one call, in which none completes.
  [[gnu::noinline]] void submit(const std::vector<Request>& requests) {
    uint32_t first = submitted_;
    for (const Request& request : requests) {
      std::byte* entry = sqes_ + submitted_++ % kEntries * queues_.sqe_bytes;
      std::memset(entry, 0, 64);
      std::memcpy(entry, &request.opcode, 1);
      std::memcpy(entry + 1, &request.flags, 1);
      std::memcpy(entry + 4, &request.fd, 4);
      std::memcpy(entry + 32, &request.user_data, 8);
      std::memcpy(entry + 44, &request.file_index, 4);
    }
    ring_submitting(queues_, {first, submitted_}, kHook, unwind::caller_registers());
    look();
  }
  /// A later call.
  void look() { ring_submitted(&tail_, kHook, unwind::caller_registers()); }
  void put(uint64_t user_data, int32_t result, uint32_t flags = 0) {
    std::byte* entry = cqes_ + tail_++ % (2 * kEntries) * queues_.cqe_bytes;
    std::memcpy(entry, &user_data, 8);
    std::memcpy(entry + 8, &result, 4);
    std::memcpy(entry + 12, &flags, 4);
  }
  void complete(uint64_t user_data, int32_t result, uint32_t flags = 0) {
    put(user_data, result, flags);
    look();
  }
  const uint32_t* key() const { return &tail_; }
  const RingQueues& queues() const { return queues_; }

  static constexpr uint32_t kEntries = 8;

 private:
  std::byte sqes_[kEntries * 128]{};
  std::byte cqes_[2 * kEntries * 32]{};
  uint32_t tail_ = UINT32_MAX - 2;  // free-running: about to begin anew
  uint32_t submitted_ = UINT32_MAX - 2;
  RingQueues queues_;
};

class RingsTest : public ::testing::Test {
 protected:
  RingsTest() : held_before_(process_.held(Kind::fd)) {}
  ~RingsTest() override {
    reset_rings_after_fork();
    for (int fd : fds_)
      if (fd_is_open(fd)) fd_closing(fd, {2, unwind::caller_registers()}, [&] { return close(fd); });
    EXPECT_EQ(held(), 0u);
  }
  /// As the kernel makes it.
  int made() {
    fds_.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return fds_.back();
  }
  uint64_t held() { return process_.held(Kind::fd) - held_before_; }
  uint64_t word(int fd) { return process_.record<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd)).word; }
  uint64_t failures() { return process_.count(SectionId::failures); }
  uint64_t dropped(ledger::Dropped reason) { return process_.header().dropped[static_cast<size_t>(reason)]; }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  uint64_t held_before_;
  std::vector<int> fds_;
  TestRing ring_;
};

TEST_F(RingsTest, WhatEachRequestHasMadeIsHeld) {
  for (uint8_t opcode : {kAccept, kOpenAt, kOpenAt2, kSocket, kInstall}) {
    uint64_t before = held();
    ring_.submit({{opcode, opcode}});
    EXPECT_TRUE(awaits_completions());
    EXPECT_EQ(held(), before);
    int fd = made();
    ring_.complete(opcode, fd);
    EXPECT_EQ(held(), before + 1) << static_cast<int>(opcode);
    EXPECT_NE(ledger::fd_site(word(fd)), 0u);
    EXPECT_FALSE(awaits_completions());
  }
}

TEST_F(RingsTest, EntriesMayBeTwiceAsLarge) {
  TestRing ring(2);
  ring.submit({{kOpenAt, 1}, {kOpenAt, 2}});
  for (uint64_t number : {2, 1}) ring.complete(number, made());
  EXPECT_EQ(held(), 2u);
}

TEST_F(RingsTest, OthersMakeNone) {
  for (Request request : {Request{kRead, 1}, Request{kOpenAt, 1, -1, 5}, Request{kAccept, 1, -1, 1}}) {
    ring_.submit({request});
    EXPECT_FALSE(awaits_completions());
    ring_.complete(1, made());
    EXPECT_EQ(held(), 0u);
  }
  ring_.submit({{kInstall, 1, 7, 1}});
  EXPECT_TRUE(awaits_completions()) << "out of the ring's own table";
}

TEST_F(RingsTest, RequestsOfOneCallHaveOneSite) {
  ring_.submit({{kOpenAt, 1}, {kRead, 9}, {kAccept, 2}});
  int first = made(), second = made();
  ring_.put(2, second);
  ring_.put(9, 100);
  ring_.complete(1, first);
  EXPECT_EQ(held(), 2u);
  EXPECT_EQ(ledger::fd_site(word(first)), ledger::fd_site(word(second)));
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, OneThatFailsIsNotAwaitedAnyMore) {
  ring_.submit({{kOpenAt, 1}, {kOpenAt, 2}});
  ring_.complete(1, -ENOENT);
  EXPECT_TRUE(awaits_completions());
  ring_.complete(2, 900);  // no such descriptor
  EXPECT_FALSE(awaits_completions());
  EXPECT_EQ(held(), 0u);
}

TEST_F(RingsTest, ALimitThatIsMetIsNoted) {
  uint64_t before = failures();
  for (int error : {EMFILE, ENFILE, ENOENT}) {
    ring_.submit({{kOpenAt, 1}});
    errno = 7;
    ring_.complete(1, -error);
    EXPECT_EQ(errno, 7);
  }
  ASSERT_EQ(failures(), before + 2);
  auto& first = process_.record<ledger::Failure>(SectionId::failures, before);
  EXPECT_EQ(first.error, EMFILE);
  EXPECT_EQ(first.hook, kHook);
}

TEST_F(RingsTest, OneThatGoesOnMakesMany) {
  ring_.submit({{kAccept, 1}});
  for (int i = 0; i < 3; ++i) ring_.complete(1, made(), kMore);
  ring_.complete(1, -EAGAIN, kMore);
  EXPECT_TRUE(awaits_completions());
  ring_.complete(1, made());
  EXPECT_FALSE(awaits_completions());
  EXPECT_EQ(held(), 4u);
}

TEST_F(RingsTest, SomeMayBeAwaitedUnderOneNumber) {
  ring_.submit({{kOpenAt, 0}, {kOpenAt, 0}});
  ring_.submit({{kOpenAt, 0}});
  for (int left = 3; left-- > 0;) {
    ring_.complete(0, made());
    EXPECT_EQ(awaits_completions(), left > 0) << left;
  }
  EXPECT_EQ(held(), 3u);
}

TEST_F(RingsTest, OthersOfThatNumberAreToldApartByTheirResults) {
  ring_.submit({{kOpenAt, 0}, {kRead, 0}, {kRead, 0}});
  ring_.complete(0, 900);
  ring_.complete(0, -EIO);
  EXPECT_TRUE(awaits_completions());
  ring_.complete(0, -ENOENT);
  EXPECT_FALSE(awaits_completions()) << "the last of three is its own";
  ring_.submit({{kRead, 0}, {kOpenAt, 0}});
  ring_.submit({{kRead, 0}});
  ring_.complete(0, 900);
  ring_.complete(0, made());
  EXPECT_EQ(held(), 1u);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, OthersThatCompleteSilentlyAreNotWaitedFor) {
  ring_.submit({{kOpenAt, 0}, {kRead, 0, -1, 0, kSkipsCompletion}, {kRead, 5}});
  ring_.complete(0, -ENOENT);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, OthersOfAnEndedCallBelongToTheOneThatGoesOn) {
  ring_.submit({{kOpenAt, 0}, {kRead, 0}});
  ring_.submit({{kOpenAt, 0}});  // of another line: it is told apart
  ring_.complete(0, made());
  ring_.complete(0, 900);
  EXPECT_TRUE(awaits_completions());
  ring_.complete(0, -ENOENT);
  EXPECT_FALSE(awaits_completions());
  EXPECT_EQ(held(), 1u);
}

TEST_F(RingsTest, WhatAHookedFunctionHasMadeMeanwhileIsItsOwn) {
  ring_.submit({{kOpenAt, 1}});
  int fd = made();
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  uint64_t before = word(fd);
  ring_.complete(1, fd);
  EXPECT_EQ(word(fd), before);
  EXPECT_EQ(held(), 1u);
}

TEST_F(RingsTest, OneRingsCompletionsAreNotAnothers) {
  TestRing other;
  ring_.submit({{kOpenAt, 1}});
  other.submit({{kOpenAt, 1}});
  other.complete(1, -ENOENT);
  EXPECT_TRUE(awaits_completions());
  int fd = made();
  other.complete(1, fd);
  EXPECT_EQ(word(fd), 0u);
  ring_.complete(1, fd);
  EXPECT_NE(word(fd), 0u);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, CompletionsThatWereOverwrittenAreLeftOut) {
  constexpr uint32_t kRoom = 2 * TestRing::kEntries;
  ring_.submit({{kOpenAt, 1}, {kOpenAt, 2}});
  ring_.put(1, made());
  int fd = made();
  ring_.put(2, fd);
  for (uint32_t i = 1; i < kRoom; ++i) ring_.put(9, 0);
  ring_.look();
  EXPECT_EQ(held(), 1u);
  EXPECT_NE(word(fd), 0u);
}

TEST_F(RingsTest, InAPauseTheyDoNotCount) {
  {
    test::Paused paused;
    ring_.submit({{kOpenAt, 1}});
  }
  int fd = made();
  ring_.complete(1, fd);
  EXPECT_EQ(held(), 0u);
  EXPECT_NE(word(fd), 0u) << "it is known";
  EXPECT_EQ(ledger::fd_site(word(fd)), 0u);
}

TEST_F(RingsTest, ACloseCountsWhenTheNumberIsClosed) {
  int fd = made();
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  ring_.submit({{kClose, 1, fd}});
  EXPECT_EQ(held(), 1u);
  EXPECT_TRUE(awaits_completions());
  close(fd);
  ring_.look();
  EXPECT_EQ(held(), 0u);
  EXPECT_FALSE(awaits_completions());
  ring_.submit({{kClose, 1, fd}});
  EXPECT_FALSE(awaits_completions()) << "of no descriptor that is known";
}

TEST_F(RingsTest, ACloseOfTheRingsOwnTableIsNone) {
  int fd = made();
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  ring_.submit({{kClose, 1, fd, 1}});
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, ACloseThatDoesNotComeIsForgotten) {
  int fd = made(), other = made();
  for (int one : {fd, other}) fd_opened(one, nullptr, 1, unwind::caller_registers());
  ring_.submit({{kClose, 1, fd}, {kClose, 2, other}});
  close(other);
  int looks = 1;
  for (; looks < 1000 && awaits_completions(); ++looks) ring_.look();
  EXPECT_EQ(looks, 64);
  EXPECT_EQ(held(), 1u);
  EXPECT_NE(word(fd), 0u);
}

TEST_F(RingsTest, AForkChildAwaitsNothing) {
  int fd = made();
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  ring_.submit({{kClose, 1, fd}});
  reset_rings_after_fork();
  EXPECT_FALSE(awaits_completions());
  ring_.submit({{kOpenAt, 2}});
  reset_rings_after_fork();
  EXPECT_FALSE(awaits_completions());
  ring_.complete(2, made());
  EXPECT_EQ(held(), 1u);
}

TEST_F(RingsTest, ANumberThatIsMadeAnewWasClosed) {
  int fd = made();
  fd_opened(fd, nullptr, 1, unwind::caller_registers());
  uint64_t before = word(fd);
  ring_.submit({{kClose, 1, fd}});
  ring_.submit({{kOpenAt, 2}});
  close(fd);
  ASSERT_EQ(made(), fd);
  ring_.complete(2, fd);
  EXPECT_EQ(held(), 1u);
  EXPECT_NE(word(fd), before);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, AtARingsEndItsCompletionsAreTakenInAndTheRestIsForgotten) {
  TestRing other;
  other.submit({{kOpenAt, 7}});
  ring_.submit({{kOpenAt, 1}, {kOpenAt, 2}});
  ring_.put(1, made());
  ring_ending(ring_.key());
  EXPECT_EQ(held(), 1u);
  ring_.complete(2, made());
  EXPECT_EQ(held(), 1u);
  other.complete(7, made());
  EXPECT_EQ(held(), 2u);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, ForAReportAllAreLookedAt) {
  TestRing other;
  int closed = made();
  fd_opened(closed, nullptr, 1, unwind::caller_registers());
  ring_.submit({{kOpenAt, 1}});
  other.submit({{kOpenAt, 1}, {kClose, 2, closed}});
  close(closed);
  ring_.put(1, made());
  other.put(1, made());
  collect_from_rings();
  EXPECT_EQ(held(), 2u);
  EXPECT_FALSE(awaits_completions());
}

TEST_F(RingsTest, OneWhoseMemoryIsGoneIsForgotten) {
  for (bool ends : {true, false}) {
    void* memory = mmap(nullptr, sizeof(TestRing), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    auto* gone = new (memory) TestRing;
    gone->submit({{kOpenAt, 1}});
    const uint32_t* key = gone->key();
    munmap(memory, sizeof(TestRing));
    if (ends)
      ring_ending(key);
    else
      collect_from_rings();
    EXPECT_FALSE(awaits_completions());
  }
}

TEST_F(RingsTest, ForMoreThanThereIsRoomForTheReportSaysSo) {
  uint64_t before = dropped(ledger::Dropped::rings_full);
  std::vector<std::unique_ptr<TestRing>> rings;
  for (int i = 0; i < 65; ++i) {
    rings.push_back(std::make_unique<TestRing>());
    rings.back()->submit({{kOpenAt, 1}});
    EXPECT_EQ(dropped(ledger::Dropped::rings_full), before + (i == 64));
  }
  rings[10]->complete(1, -ENOENT);
  rings[64]->submit({{kOpenAt, 1}});
  EXPECT_EQ(dropped(ledger::Dropped::rings_full), before + 1) << "one has become free";
  reset_rings_after_fork();
  EXPECT_FALSE(awaits_completions());
  for (uint64_t number = 0; number < 1025; ++number) ring_.submit({{kOpenAt, number}});
  EXPECT_EQ(dropped(ledger::Dropped::rings_full), before + 2);
}

TEST_F(RingsTest, MoreEntriesThanTheRingHasAreNotBelieved) {
  ring_submitting(ring_.queues(), {0, TestRing::kEntries + 1}, kHook, unwind::caller_registers());
  EXPECT_FALSE(awaits_completions());
}

}  // namespace
}  // namespace unfreed::track
