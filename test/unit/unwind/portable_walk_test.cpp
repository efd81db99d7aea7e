// The portable walker, which this architecture's build of the runtime does not use: built here for itself, it must see
// what libunwind sees from the same place.
#include <gtest/gtest.h>
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <vector>

#include "unwind/walk.h"

namespace unfreed::unwind {
namespace {

struct Captured {
  std::vector<uintptr_t> ours;
  std::vector<uintptr_t> theirs;
  WalkResult result;
};

[[gnu::noinline]] Captured capture(size_t room) {
  Captured captured;
  std::vector<Frame> frames(room);
  SlotLog log;
  captured.result = walk(caller_registers(), {}, 0xffff, frames, log);
  EXPECT_FALSE(log.verifiable);
  for (size_t i = 0; i < captured.result.frames; ++i) captured.ours.push_back(frames[i].pc);
  std::vector<void*> buffer(512);
  int count = unw_backtrace(buffer.data(), 512);
  for (int i = 1; i < count; ++i) captured.theirs.push_back(reinterpret_cast<uintptr_t>(buffer[i]));
  return captured;
}

[[gnu::noinline]] Captured recurse(int depth, size_t room) {
  Captured captured = depth ? recurse(depth - 1, room) : capture(room);
  asm volatile("" ::: "memory");
  return captured;
}

class PortableWalk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(prepare([](const Object&) { return 1u; })) << "libunwind.so.8 could not be loaded";
  }
};

TEST_F(PortableWalk, SeesWhatLibunwindSees) {
  Captured captured = recurse(20, 512);
  ASSERT_GT(captured.ours.size(), 20u);
  EXPECT_EQ(captured.ours, captured.theirs);
  EXPECT_FALSE(captured.result.truncated);
}

TEST_F(PortableWalk, CutsAtTheRoomGiven) {
  Captured captured = recurse(20, 5);
  EXPECT_EQ(captured.ours.size(), 5u);
  EXPECT_TRUE(captured.result.truncated);
}

TEST_F(PortableWalk, KeepsTheCallerWhereItIsNotOnTheStack) {
  std::vector<Frame> frames(10);
  SlotLog log;
  WalkResult result = walk({.pc = 0x1234, .sp = 0, .bp = 0}, {}, 0xffff, frames, log);
  ASSERT_EQ(result.frames, 1u);
  EXPECT_EQ(frames[0].pc, 0x1234u);
  EXPECT_TRUE(result.truncated);
}

}  // namespace
}  // namespace unfreed::unwind
