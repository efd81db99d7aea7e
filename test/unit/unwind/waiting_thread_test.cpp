// Where a thread of another process stands, and what the kernel says where that may not be known.
#include "unwind/waiting_thread.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

#include "base/syscall.h"
#include "unwind/walk.h"

namespace unfreed::unwind {
namespace {

/// A child of the test, which runs `body` and never returns from it.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) : pid_(fork()) {
    if (pid_ != 0) return;
    body();
    _exit(1);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  int pid() const { return pid_; }
  int exit_status() const {
    siginfo_t ended{};
    waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOWAIT);
    return ended.si_status;
  }

 private:
  pid_t pid_;
};

struct Walk {
  std::array<std::byte, kMostWaitingBytes> memory;
  std::array<Frame, 64> frames;
  WalkResult result;

  WaitingWalk of(int pid) { return walk_waiting({pid, pid, 0, 0}, memory, 0, frames, result); }
};

TEST(WaitingThread, StandsInItsSystemCall) {
  ASSERT_TRUE(prepare([](const Object&) { return 1u; }));
  Child child([] {
    for (;;) pause();
  });
  auto walk = std::make_unique<Walk>();
  WaitingWalk found;
  while ((found = walk->of(child.pid())) == WaitingWalk::moves) usleep(1000);
  ASSERT_EQ(found, WaitingWalk::done);
  // A fork child has its parent's code in the same places, so this process's tables tell. Beyond its caller it takes a
  // frame pointer, which the kernel does not tell, where code is built with one and nothing inside has saved it.
  EXPECT_GE(walk->result.frames, 2u);
}

TEST(WaitingThread, IsNotThereWhenItRuns) {
  Child child([] {
    for (volatile bool forever = true; forever;) {
    }
  });
  auto walk = std::make_unique<Walk>();
  usleep(20'000);
  EXPECT_EQ(walk->of(child.pid()), WaitingWalk::moves);
}

TEST(WaitingThread, IsNobodyElsesBusiness) {
  if (geteuid() != 0) GTEST_SKIP() << "takes two users, so root";
  int target = getpid();
  Child stranger([target] {
    if (setuid(65534) != 0) _exit(2);
    auto walk = std::make_unique<Walk>();
    _exit(walk->of(target) == WaitingWalk::refused ? 0 : 3);
  });
  EXPECT_EQ(stranger.exit_status(), 0);
}

}  // namespace
}  // namespace unfreed::unwind
