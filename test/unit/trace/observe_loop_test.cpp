#include "trace/observe_loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "ledger/view.h"
#include "settings/settings.h"

namespace unfreed::trace {
namespace {

using ledger::Coverage;
using ledger::Kind;

/// What a shell's ledger says once it has run a script that opens `opens` files and keeps the last, observed.
struct Observed {
  std::string problem;
  ledger::View view;
};

void observe(int opens, KernelOptions options, Observed& out) {
  char folder[] = "/tmp/observe-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  report::Settings settings;
  TraceSetup setup;
  setup.ledgers.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  setup.ledgers.settings = &settings;
  setup.traces_all = true;
  ObserveLoop loop(setup, options);
  out.problem = loop.prepare();
  if (!out.problem.empty()) return;
  std::string script;
  for (int number = 0; number < opens; ++number) script += "exec 5</dev/null\n";
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    if (read(pipe[0], &byte, 1) == 1) execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
    _exit(1);
  }
  EXPECT_EQ(loop.seize(child), 0);
  EXPECT_EQ(write(pipe[1], "", 1), 1);
  int ended = -1;
  EXPECT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_EQ(ended, 0);
  loop.run(-1);  // nothing was taken before: all has to fit into the ring
  std::filesystem::directory_iterator files(folder);
  ASSERT_NE(files, std::filesystem::directory_iterator()) << "there is no ledger";
  int file = open(files->path().c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  ASSERT_EQ(fstat(file, &status), 0);
  void* place = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);  // until the end
  ASSERT_NE(place, MAP_FAILED);
  close(file);
  EXPECT_EQ(ledger::View::open({static_cast<std::byte*>(place), static_cast<size_t>(status.st_size)}, out.view),
            nullptr);
  std::filesystem::remove_all(folder);
  close(setup.ledgers.folder);
}

Coverage coverage_of(const Observed& observed, Kind kind) {
  return static_cast<Coverage>(observed.view.header().coverage[static_cast<size_t>(kind)]);
}

TEST(ObserveLoop, SeesAllThatFitsIntoTheRing) {
  Observed observed;
  observe(20, {}, observed);
  if (!observed.problem.empty()) GTEST_SKIP() << observed.problem;
  const ledger::Header& header = observed.view.header();
  EXPECT_EQ(coverage_of(observed, Kind::fd), Coverage::exact);
  EXPECT_EQ(coverage_of(observed, Kind::child), Coverage::exact);
  EXPECT_EQ(header.state.load(), static_cast<uint32_t>(ledger::State::ended));
  EXPECT_EQ(header.totals[static_cast<size_t>(Kind::fd)].live.load(), 1u);
}

TEST(ObserveLoop, SaysThatItHasMissedWhatDidNotFit) {
  Observed observed;
  observe(200, {.ring_bytes = 16 * 1024}, observed);
  if (!observed.problem.empty()) GTEST_SKIP() << observed.problem;
  const ledger::Header& header = observed.view.header();
  EXPECT_EQ(coverage_of(observed, Kind::fd), Coverage::partial);
  EXPECT_EQ(coverage_of(observed, Kind::child), Coverage::partial);
  EXPECT_NE(observed.view.text(header.coverage_reason[static_cast<size_t>(Kind::fd)]).find("ring of events was full"),
            std::string_view::npos);
  EXPECT_EQ(header.state.load(), static_cast<uint32_t>(ledger::State::ended)) << "its end was missed, and found out";
}

}  // namespace
}  // namespace unfreed::trace
