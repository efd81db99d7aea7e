// What a process does that ends it, replaces its program, or restricts its system calls.
#include "hook/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "support/real_functions.h"
#include "support/tracked_process.h"
#include "track/fd.h"
#include "track/untracked.h"

namespace unfreed::hook {
namespace {

using ledger::SectionId;

TEST(SandboxMade, ByPrctl) {
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0), Sandbox::strict);
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0x1000), Sandbox::filter);
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0), Sandbox::none);
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0), Sandbox::prepared);
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0), Sandbox::none);
  EXPECT_EQ(sandbox_made_by(SYS_prctl, PR_SET_DUMPABLE, 1, 1), Sandbox::none);
}

TEST(SandboxMade, BySeccomp) {
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0), Sandbox::strict);
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0), Sandbox::none);
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0x1000), Sandbox::none);
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0x1000), Sandbox::filter);
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0), Sandbox::none);
  EXPECT_EQ(sandbox_made_by(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 0x1000), Sandbox::none);
}

TEST(SandboxMade, ByNoOtherCall) {
  for (long first : {long{PR_SET_SECCOMP}, long{PR_SET_NO_NEW_PRIVS}, long{SECCOMP_SET_MODE_FILTER}})
    for (long second : {0, 1, 2})
      EXPECT_EQ(sandbox_made_by(SYS_read, first, second, 0x1000), Sandbox::none) << first << ", " << second;
}

std::vector<std::string> g_heard;

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() {
    g_heard.clear();
    process_.header().sections[static_cast<size_t>(SectionId::exec_leaks)].count = 0;
    process_.header().sections[static_cast<size_t>(SectionId::untracked)].count = 0;
    ProcessEvents events;
    events.ending = [](int status) {
      g_heard.push_back("ending " + std::to_string(status));
      return status + 1;
    };
    events.replacing = [](bool failed) { g_heard.emplace_back(failed ? "not replaced" : "replacing"); };
    events.leaving = [](std::string_view program, elf::Obstacle) {
      g_heard.push_back("leaving for " + std::string(program));
    };
    events.sandboxing = [](Sandbox, bool failed) { g_heard.emplace_back(failed ? "not sandboxed" : "sandboxing"); };
    set_process_events(events);
  }
  ~ProcessTest() override {
    set_process_events({});
    g_preloading = {};
  }
  using Heard = std::vector<std::string>;

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

/// While it lives, this thread is in a vfork child.
class InVforkChild {
 public:
  InVforkChild() {
    track::enter_vfork_child();
    track::t_local.lender_tid = 1;
  }
  ~InVforkChild() {
    track::t_local.lender_tid = base::current_tid();
    track::back_from_vfork_child();
  }
};

TEST_F(ProcessTest, AProgramThatIsNotStartedInheritsNothing) {
  int fd = open("/dev/null", O_RDONLY);
  track::fd_opened(fd, "/dev/null", 1, unwind::caller_registers());
  auto& leak = process_.record<ledger::ExecLeak>(SectionId::exec_leaks, 0);
  char* arguments[] = {nullptr};
  auto result = replacing(Hook::execve, "/no/such", {"/no/such"}, environ, [&](char* const* environment) {
    EXPECT_EQ(environment, environ);
    EXPECT_EQ(process_.count(SectionId::exec_leaks), 1u);
    EXPECT_EQ(leak.count, 1u);
    EXPECT_EQ(g_heard, Heard{"replacing"});
    return -1;
  });
  EXPECT_EQ(result, -1);
  EXPECT_EQ(leak.count, 0u);
  EXPECT_EQ(g_heard, (Heard{"replacing", "not replaced"}));
  EXPECT_EQ(execve("/no/such", arguments, environ), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(leak.count, 0u);
  EXPECT_EQ(g_heard.size(), 4u);
  track::fd_closing(fd, {2, unwind::caller_registers()}, [&] { return close(fd); });
}

TEST_F(ProcessTest, AProgramThatIsNotStartedIsNotReportedAsUntracked) {
  std::strcpy(g_preloading.library, "/no/such/libunfreed.so");
  std::strcpy(g_preloading.entry, "/no/such/libunfreed.so");
  g_preloading.is_noted = [](std::string_view) { return true; };
  char preload[] = "LD_PRELOAD=/no/such/libunfreed.so";
  char* environment[] = {preload, nullptr};
  auto& record = process_.record<ledger::Untracked>(SectionId::untracked, 0);
  replacing(Hook::execve, "/bin/true", {"/bin/true"}, environment, [&](char* const*) {
    EXPECT_EQ(process_.count(SectionId::untracked), 1u);
    EXPECT_EQ(record.count, 1u);
    EXPECT_EQ(g_heard, (Heard{"leaving for /bin/true", "replacing"}));
    return -1;
  });
  EXPECT_EQ(record.count, 0u);
}

TEST_F(ProcessTest, AVforkChildReplacesItselfAlone) {
  InVforkChild child;
  replacing(Hook::execve, "/bin/true", {"/bin/true"}, environ, [](char* const*) { return -1; });
  EXPECT_EQ(g_heard, Heard{});
}

TEST_F(ProcessTest, TheStatusToEndWithIsTheEventsButForAVforkChild) {
  EXPECT_EQ(process_ending(3), 4);
  {
    InVforkChild child;
    EXPECT_EQ(process_ending(3), 3);
  }
  set_process_events({});
  EXPECT_EQ(process_ending(3), 3);
  EXPECT_EQ(g_heard, Heard{"ending 3"});
}

TEST_F(ProcessTest, ASandboxIsReportedAndTakenBackIfItFails) {
  EXPECT_EQ(sandboxing(Sandbox::filter, [] { return 0L; }), 0);
  EXPECT_EQ(g_heard, Heard{"sandboxing"});
  EXPECT_EQ(sandboxing(Sandbox::filter, [] { return -1L; }), -1);
  EXPECT_EQ(g_heard, (Heard{"sandboxing", "sandboxing", "not sandboxed"}));
  EXPECT_EQ(sandboxing(Sandbox::none, [] { return -1L; }), -1);
  InVforkChild child;
  EXPECT_EQ(sandboxing(Sandbox::filter, [] { return 0L; }), 0);
  EXPECT_EQ(g_heard.size(), 3u);
}

}  // namespace
}  // namespace unfreed::hook
