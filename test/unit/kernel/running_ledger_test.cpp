#include "kernel/running_ledger.h"

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/ledger_builder.h"

namespace unfreed::report {
namespace {

/// Runs `step` in a child process and `change` at the moment when it has opened `folder` for the first time. The
/// child's exit status; -1 if it never opens it.
template <class Step, class Change>
int run_with_change(const std::string& folder, Step step, Change change) {
  pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    _exit(step());
  }
  int status = 0;
  bool changed = false;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  while (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0 && waitpid(child, &status, 0) == child &&
         !WIFEXITED(status)) {
    std::error_code none;
    if (changed || !WIFSTOPPED(status)) continue;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(child) + "/fd"))
      if (std::filesystem::read_symlink(entry.path(), none) == folder) changed = true;
    if (changed) change();
  }
  return changed && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(RunningLedger, IsReadAgainAfterTheKernelWasAsked) {
  char folder[] = "/tmp/unfreed-running-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  std::string path = std::string(folder) + "/ledger";
  test::LedgerBuilder builder(test::LedgerSize::compact);
  builder.header().pid = getpid();
  uint32_t site = builder.site(ledger::Kind::fd, 0, 0);
  builder.save(path);
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  // This process is the one that runs: it acquires a descriptor while the child that reads its ledger lists them.
  constexpr uint32_t kNumber = 40;
  int pid = getpid();
  enum : int { kKnown = 1, kListed = 2 };
  int seen = run_with_change(
      "/proc/" + std::to_string(pid) + "/fd",
      [&] {
        ledger::Copy copy;
        if (load_running_ledger(file, pid, copy)) return 100;
        int found = 0;
        const ledger::FdRecord* record = copy.view().fd(kNumber);
        if (record && ledger::fd_origin(record->word) == ledger::FdOrigin::acquired) found |= kKnown;
        for (uint32_t at = 0; at < copy.view().kernel_fd_count(); ++at)
          if (copy.view().kernel_fd(at)->fd == static_cast<int>(kNumber)) found |= kListed;
        return found;
      },
      [&] {
        dup2(STDIN_FILENO, kNumber);
        builder.table_fd(kNumber, ledger::FdOrigin::acquired, site);
        builder.save(path);
      });
  close(kNumber);
  close(file);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(seen, kKnown | kListed) << "it was opened before the list was read, so the table has to have it";
}

TEST(RunningLedger, CanBeReadAgainAndAgain) {
  test::LedgerBuilder builder(test::LedgerSize::compact);
  builder.header().pid = getpid();
  char path[] = "/tmp/unfreed-running-XXXXXX";
  int file = mkstemp(path);
  ASSERT_GE(file, 0);
  builder.save(path);
  uintptr_t low = UINTPTR_MAX, high = 0;
  for (int time = 0; time < 200; ++time) {
    ledger::Copy copy;
    ASSERT_FALSE(load_running_ledger(file, getpid(), copy));
    auto address = reinterpret_cast<uintptr_t>(&copy.view().header());
    low = std::min(low, address);
    high = std::max(high, address);
  }
  // Two copies at once, and no more: else they would reach other mappings some time.
  EXPECT_LE(high - low, 2 * builder.header().file_bytes);
  close(file);
  unlink(path);
}

}  // namespace
}  // namespace unfreed::report
