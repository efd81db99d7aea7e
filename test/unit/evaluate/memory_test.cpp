// Evaluation with less memory than it needs: it leaves out what finds no room, and says that the report is not
// complete.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

constexpr size_t kPage = 4096;

/// The process's address space.
size_t mapped_bytes() {
  FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  if (!file || std::fscanf(file, "%lu", &pages) != 1) std::abort();
  std::fclose(file);
  return pages * kPage;
}

enum Outcome { kComplete = 0, kIncomplete = 1, kSilent = 2 };

class MemoryTest : public ::testing::Test {
 protected:
  MemoryTest() {
    using ledger::FdOrigin;
    using ledger::Kind;
    uint32_t number = 3;
    auto stack = [&](uint64_t offset) { return builder_.stack({{module_, offset}, {module_, 7}, {module_, 5}}); };
    for (uint64_t at = 0; at < 80; ++at) {
      uint32_t site = builder_.site(Kind::fd, 0, stack(1000 + at));
      builder_.open_fd(number++, FdOrigin::acquired, site, "/tmp/x");
      builder_.open_fd(number++, FdOrigin::received, site, "/tmp/y");
      builder_.open_fd(number++, FdOrigin::ignored, site, "/tmp/z");
      uint32_t heap = builder_.site(Kind::heap, 1, stack(2000 + at));
      builder_.blocks(heap, 2, 1, 20, 10);
      builder_.exec_leak(site, 3, 1, "/bin/true");
      builder_.misuse(ledger::MisuseKind::double_close, 9, 1, site).opened_site = site;
      builder_.failure(0, EMFILE, stack(1000 + at), 1);
    }
    for (uint64_t at = 0; at < 20; ++at) {
      builder_.thread(builder_.site(Kind::thread, 2, stack(3000 + at)), ledger::ThreadState::finished).start_module =
          module_;
      builder_.child(builder_.site(Kind::child, 0, stack(4000 + at)), 6000 + static_cast<int>(at));
      builder_.kernel_task(6000 + static_cast<int>(at), true, 'Z', "zombie");
      builder_.kernel_task(7000 + static_cast<int>(at), true, 'S', "stray");
      builder_.thread(0, ledger::ThreadState::running, ledger::kThreadIgnored);
    }
    builder_.header().flags.fetch_or(ledger::kHeaderFlagReconciled);
    ParseError error;
    EXPECT_TRUE(parse_rules("fd>0,site.fd>=1,thread>0,child>0", settings_.rules, error));
    size_t line = 0;
    EXPECT_TRUE(parse_suppressions("fd:nothing max=1\nheap:program\n", suppressions_, suppression_count_, error, line));
  }
  /// How it ends in a process that may have so many bytes more: what it exits with, or 128 and the signal.
  int outcome(size_t bytes) {
    ledger::View view = builder_.view();
    ReportInput input;
    input.view = &view;
    input.settings = &settings_;
    input.suppressions = {suppressions_, suppression_count_};
    input.now_monotonic_ns = 1'000'001'000;
    pid_t child = fork();
    if (child == 0) {
      rlim_t most = mapped_bytes() + bytes;
      rlimit limit{most, most};
      if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(99);
      base::Arena arena;
      Report report;
      evaluate(input, arena, report);
      if (report.complete == arena.short_of_memory()) _exit(kSilent);
      // A rule of which there is no outcome was not checked.
      if (report.rules.size() < report.rules_asked && !is_unchecked(report)) _exit(kSilent);
      _exit(report.complete ? kComplete : kIncomplete);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  test::LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  Settings settings_;
  Suppression suppressions_[4];
  size_t suppression_count_ = 0;
};

TEST_F(MemoryTest, AReportThatFindsTooLittleMemorySaysSo) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer needs address space of its own";
#endif
  ASSERT_EQ(outcome(size_t{64} << 20), kComplete);
  size_t pages = 0;
  for (; pages < 4096; ++pages) {
    int result = outcome(pages * kPage);
    if (result == kComplete) break;
    ASSERT_EQ(result, kIncomplete) << "with " << pages << " pages";
  }
  EXPECT_GT(pages, 20u) << "there is much to be evaluated";
  EXPECT_LT(pages, 4096u);
}

}  // namespace
}  // namespace unfreed::report
