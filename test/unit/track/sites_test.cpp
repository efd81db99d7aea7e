// What a call site is: the frames that are kept of a stack, and whether some are missing.
#include "track/sites.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <new>
#include <thread>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::Kind;

[[gnu::noinline]] uint32_t capture(Kind kind = Kind::fd, uint16_t hook = 1) {
  return capture_site(kind, hook, unwind::caller_registers());
}
/// With so many frames more.
[[gnu::noinline]] uint32_t capture_deeper(int frames) {
  uint32_t site = frames ? capture_deeper(frames - 1) : capture();
  asm volatile("" : "+r"(site));
  return site;
}

class SitesTest : public ::testing::Test {
 protected:
  ~SitesTest() override { g_tracker.depth = 16; }
  /// Its frames, and whether it says that it is cut.
  size_t frames(uint32_t site, bool& truncated) {
    ledger::View view = process_.view();
    const ledger::Site* record = view.site(site);
    truncated = record->flags & ledger::kSiteTruncated;
    size_t count = 0;
    for (const ledger::Node* node = view.node(record->node); node; ++count)
      node = node->parent ? view.node(node->parent) : nullptr;
    return count;
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(SitesTest, OfADeepStackTheInnermostFramesAreKept) {
  bool truncated = false;
  g_tracker.depth = 512;
  size_t all = frames(capture_deeper(0), truncated);
  EXPECT_FALSE(truncated);
  EXPECT_EQ(frames(capture_deeper(5), truncated), all + 5);
  EXPECT_FALSE(truncated);
  for (uint32_t depth : {1u, 2u, 3u}) {
    g_tracker.depth = depth;
    forget_remembered_stacks();
    EXPECT_EQ(frames(capture_deeper(6), truncated), depth);
    EXPECT_TRUE(truncated) << depth;
  }
}

TEST_F(SitesTest, AStackThatIsWalkedToItsEndIsCutAllTheSame) {
  uint32_t site = 0;
  auto in_thread = [](void* out) -> void* {
    *static_cast<uint32_t*>(out) = capture();
    retire_own_state();
    return nullptr;
  };
  for (uint32_t depth : {512u, 2u}) {
    g_tracker.depth = depth;
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, in_thread, &site), 0);
    pthread_join(thread, nullptr);
    bool truncated = false;
    size_t kept = frames(site, truncated);
    EXPECT_EQ(truncated, depth == 2);
    EXPECT_EQ(kept > 2, depth == 512) << kept << " frames: this one, and those that each thread begins in";
  }
}

TEST_F(SitesTest, OneStackIsOneSiteForEachFunctionAndKind) {
  uint32_t sites[4];
  for (int round = 0; round < 2; ++round)
    for (int at = 0; at < 4; ++at) {
      uint32_t site = capture(at % 2 ? Kind::thread : Kind::fd, at < 2 ? 1 : 2);
      if (round == 0)
        sites[at] = site;
      else
        EXPECT_EQ(site, sites[at]);
    }
  for (int at = 1; at < 4; ++at) EXPECT_NE(sites[at], sites[0]);
  EXPECT_NE(capture(), sites[0]) << "another line";
}

/// As a jump out of a signal handler leaves a verb behind.
[[gnu::noinline]] void leave_verb_behind() {
  alignas(StateUse) std::byte place[sizeof(StateUse)];
  new (place) StateUse;
  asm volatile("" : : "r"(place) : "memory");
}

TEST_F(SitesTest, AVerbThatWasLeftBehindHoldsNothingUp) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps locals elsewhere than on the stack";
#endif
  uint32_t site = 0;
  for (int round = 0; round < 2; ++round) {
    if (round == 1) leave_verb_behind();
    EXPECT_EQ(t_local.busy != 0, round == 1);
    uint32_t now = capture();
    EXPECT_EQ(t_local.busy, 0u);
    if (round == 0)
      site = now;
    else
      EXPECT_EQ(now, site);
  }
}

TEST_F(SitesTest, AThreadThatHasEndedButForAHandlerNeedsNoState) {
  uint32_t site = 0;
  std::thread([&] {
    own_state();
    retire_own_state();
    StateUse use;
    EXPECT_EQ(use.state(), nullptr);
    site = capture();
  }).join();
  EXPECT_NE(site, 0u);
}

TEST_F(SitesTest, AVerbThatASignalInterruptsKeepsItsState) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps locals elsewhere than on the stack";
#endif
  static uint32_t site;
  static uint32_t busy;
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {
    site = capture();
    busy = t_local.busy;
  };
  sigaction(SIGUSR1, &action, &before);
  {
    StateUse use;
    ASSERT_NE(use.state(), nullptr);
    raise(SIGUSR1);
    EXPECT_EQ(busy, 1u);
    EXPECT_NE(site, 0u) << "the handler's own calls are recorded all the same";
  }
  sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(t_local.busy, 0u);
}

}  // namespace
}  // namespace unfreed::track
