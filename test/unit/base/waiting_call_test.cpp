// Where a thread waits in the kernel, and the digest by which it is known again.
#include "base/waiting_call.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <iterator>
#include <set>
#include <thread>

namespace unfreed::base {
namespace {

WaitingCall sample() { return {SYS_futex, {1, 2, 3, 4, 5, 6}, 0x7fff'0000'1000, 0x7f00'0000'2000}; }

TEST(Digest, SaysTheNumber) {
  for (long number : {0L, 1L, 230L, 441L, 1022L}) {
    WaitingCall call = sample();
    call.number = number;
    EXPECT_NE(digest(call), 0u);
    EXPECT_EQ(number_in(digest(call)), number);
  }
  EXPECT_EQ(number_in(0), -1);
}

TEST(Digest, IsNoneForWhatItCannotSay) {
  for (long number : {-1L, 1023L, 0x4000'0000L}) {
    WaitingCall call = sample();
    call.number = number;
    EXPECT_EQ(digest(call), 0u);
  }
}

TEST(Digest, DependsOnEachPart) {
  std::set<uint32_t> seen{digest(sample())};
  for (size_t at = 0; at < std::size(sample().arguments); ++at) {
    WaitingCall call = sample();
    call.arguments[at] += 10;
    EXPECT_TRUE(seen.insert(digest(call)).second) << at;
  }
  WaitingCall call = sample();
  call.sp += 8;
  EXPECT_TRUE(seen.insert(digest(call)).second);
  call = sample();
  call.pc += 2;
  EXPECT_TRUE(seen.insert(digest(call)).second);
}

TEST(WaitingCall, IsWhatTheThreadWaitsIn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<int> tid{0};
  char byte;
  std::thread reader([&] {
    tid = gettid();
    [[maybe_unused]] ssize_t got = read(ends[0], &byte, 1);
  });
  WaitingCall call;
  Waiting waiting = Waiting::runs;
  while (waiting != Waiting::refused && call.number != SYS_read) {
    if (tid) waiting = read_waiting_call(getpid(), tid, call);
    std::this_thread::yield();
  }
  if (waiting == Waiting::yes) {
    EXPECT_EQ(call.arguments[0], static_cast<uint64_t>(ends[0]));
    EXPECT_EQ(call.arguments[1], reinterpret_cast<uint64_t>(&byte));
    WaitingCall own;
    EXPECT_TRUE(read_waiting_call(0, tid, own) == Waiting::yes && own == call);
    EXPECT_EQ(digest(own), digest(call));
  }
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  reader.join();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace unfreed::base
