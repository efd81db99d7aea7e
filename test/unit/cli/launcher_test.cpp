// What CMD gets from its launcher, without a runtime in between: its words, its signal state, its descriptors, its
// status.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "cli/child.h"

namespace unfreed::cli {
namespace {

/// Starts `words` as the launcher would, in a child of its own, since that changes the signal state; returns what the
/// program printed.
std::string output_of(
    const std::vector<std::string>& words, void (*before)() = [] {}) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  pid_t launcher = fork();
  if (launcher == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    before();
    SignalRelay signals;
    Started started = start(words, {"PATH=/usr/bin:/bin", "ONLY=this"}, signals);
    int status = -1;
    if (started.pid > 0) waitpid(started.pid, &status, 0);
    _exit(started.pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 99);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(launcher, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0) << words[0];
  return text;
}

std::vector<std::string> signal_line(const std::string& name) { return {"grep", name, "/proc/self/status"}; }
std::vector<std::string> shell(const std::string& script) { return {"sh", "-c", script}; }

TEST(Child, HasTheEnvironmentGiven) { EXPECT_EQ(output_of(shell("echo $ONLY-$HOME-$PATH")), "this--/usr/bin:/bin\n"); }

TEST(Child, BlocksAndIgnoresNothingThatWasNotInherited) {
  EXPECT_EQ(output_of(signal_line("SigBlk")), "SigBlk:\t0000000000000000\n");
  EXPECT_EQ(output_of(signal_line("SigIgn"), [] { signal(SIGPIPE, SIG_DFL); }), "SigIgn:\t0000000000000000\n");
}

TEST(Child, InheritsWhatWasIgnoredAndBlocked) {
  EXPECT_EQ(output_of(signal_line("SigIgn"),
                      [] {
                        signal(SIGPIPE, SIG_DFL);
                        signal(SIGCHLD, SIG_IGN);
                        signal(SIGINT, SIG_IGN);
                      }),
            "SigIgn:\t0000000000010002\n");
  EXPECT_EQ(output_of(signal_line("SigBlk"),
                      [] {
                        sigset_t set;
                        sigemptyset(&set);
                        sigaddset(&set, SIGTERM);
                        sigprocmask(SIG_BLOCK, &set, nullptr);
                      }),
            "SigBlk:\t0000000000004000\n");
}

TEST(Child, StatusSurvivesAnIgnoredSigchld) {
  EXPECT_EQ(output_of(shell("exit 0"), [] { signal(SIGCHLD, SIG_IGN); }), "");
}

TEST(Child, TellsWhyItDidNotStart) {
  pid_t launcher = fork();
  if (launcher == 0) {
    SignalRelay signals;
    bool missing = start({"/no/such/program"}, {}, signals).error == ENOENT;
    bool folder = start({"/tmp"}, {}, signals).error == EACCES;
    _exit(missing && folder ? 0 : 1);
  }
  int status = -1;
  waitpid(launcher, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace unfreed::cli
