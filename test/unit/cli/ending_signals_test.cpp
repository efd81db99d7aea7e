// Signals that end a command in order, and what becomes of them if that is not possible.
#include "cli/ending_signals.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace unfreed::cli {
namespace {

/// Whether a process that ends in order blocks SIGTERM, where it may have that many descriptors (waitpid's status).
int blocks_with(rlim_t most_descriptors) {
  pid_t child = fork();
  if (child == 0) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = most_descriptors;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(9);
    EndingSignals signals;
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    _exit(sigismember(&blocked, SIGTERM));
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST(EndingSignals, AreBlockedOnlyWhereADescriptorTellsOfThem) {
  EXPECT_EQ(WEXITSTATUS(blocks_with(64)), 1);
  EXPECT_EQ(blocks_with(0), 0);
}

}  // namespace
}  // namespace unfreed::cli
