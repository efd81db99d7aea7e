// What /proc/PID/stat says.
#include "base/process_stat.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace unfreed::base {
namespace {

std::string path_of(int pid) { return "/proc/" + std::to_string(pid) + "/stat"; }

TEST(ProcessStat, IsThatOfARunningProcess) {
  ProcessStat stat = read_process_stat("/proc/self/stat");
  EXPECT_TRUE(stat.is_known);
  EXPECT_FALSE(stat.is_gone);
  EXPECT_EQ(stat.state, 'R');
  EXPECT_FALSE(stat.has_ended());
  EXPECT_EQ(stat.parent, getppid());
  EXPECT_EQ(stat.threads, 1u);
  EXPECT_GT(stat.start_ticks, 0u);
  EXPECT_EQ(stat.exit_signal, uint64_t{SIGCHLD});
}

TEST(ProcessStat, IsReadWhateverTheNameHolds) {
  char before[16];
  prctl(PR_GET_NAME, before);
  prctl(PR_SET_NAME, "a) R 1 (b c");
  ProcessStat stat = read_process_stat("/proc/thread-self/stat");
  prctl(PR_SET_NAME, before);
  EXPECT_STREQ(stat.name, "a) R 1 (b c");
  EXPECT_EQ(stat.parent, getppid());
  EXPECT_GT(stat.start_ticks, 0u);
}

TEST(ProcessStat, TellsAZombieFromAProcessThatIsGone) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t about{};
  waitid(P_PID, static_cast<id_t>(child), &about, WEXITED | WNOWAIT);
  ProcessStat zombie = read_process_stat(path_of(child).c_str());
  EXPECT_EQ(zombie.state, 'Z');
  EXPECT_TRUE(zombie.has_ended());
  EXPECT_EQ(zombie.parent, getpid());
  waitpid(child, nullptr, 0);
  ProcessStat gone = read_process_stat(path_of(child).c_str());
  EXPECT_FALSE(gone.is_known);
  EXPECT_TRUE(gone.is_gone);
}

TEST(ProcessStat, IsNotKnownOfAnotherFile) {
  ProcessStat stat = read_process_stat("/proc/self/comm");
  EXPECT_FALSE(stat.is_known);
  EXPECT_FALSE(stat.is_gone) << "nobody has said so";
}

}  // namespace
}  // namespace unfreed::base
