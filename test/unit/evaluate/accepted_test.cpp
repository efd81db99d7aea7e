// What well-known programs hold to their end, or do, and is no leak (settings/default_suppressions.inc).
#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>

#include "support/beside.h"
#include "support/evaluated.h"
#include "support/scratch_folder.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using ledger::MisuseKind;

class AcceptedTest : public test::ScratchFolder {
 protected:
  void program(std::string_view exe) { builder_.header().exe = builder_.text(exe); }
  /// One of that name that exports what the well-known program does.
  void well_known(const char* name) { program(file(name, "well_known_program.so")); }
  /// An ELF file, under that name.
  std::string file(const char* name, const char* contents) {
    std::filesystem::remove(path(name));
    std::filesystem::create_symlink(test::beside_this_test(contents), path(name));
    return path(name);
  }
  uint32_t site(Kind kind = Kind::fd, uint32_t module = 0) {
    offset_ += 100;
    return builder_.site(kind, 0, builder_.stack({{module ? module : main_, offset_}, {main_, 2}}));
  }
  void open(uint32_t number, uint32_t at, std::string_view target = "/tmp/x", uint32_t flags = O_RDONLY) {
    builder_.table_fd(number, FdOrigin::acquired, at);
    builder_.kernel_fd(static_cast<int32_t>(number), target, flags);
  }
  /// Why what the only call site holds is no leak; "" if it is one.
  std::string reason() {
    ReportInput input;
    input.settings = &settings_;
    input.resolver = resolver_;
    test::Evaluated report(builder_, input);
    return report->sites.size() == 1 ? std::string(report->sites[0].suppressed_by)
                                     : std::to_string(report->sites.size()) + " sites";
  }
  std::string misuse_reason() {
    ReportInput input;
    input.settings = &settings_;
    test::Evaluated report(builder_, input);
    return report->misuse.empty() ? "none" : std::string(report->misuse[0].suppressed_by);
  }
  static bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

  test::LedgerBuilder builder_;
  uint32_t main_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  uint64_t offset_ = 0;
  Settings settings_;
  FrameResolver resolver_;
};

TEST_F(AcceptedTest, AScriptMeansToKeepADescriptorOfOneDigit) {
  well_known("bash");
  uint32_t at = site();
  open(3, at);
  open(9, at);
  EXPECT_TRUE(contains(reason(), "numbered descriptor")) << reason();
  open(10, at);
  open(11, at);
  EXPECT_TRUE(contains(reason(), "numbered descriptor")) << "the first reason is said";
  open(12, at);
  EXPECT_EQ(reason(), "") << "three high numbers are a loop's";
}

TEST_F(AcceptedTest, HighNumbersAreNotEveryShells) {
  well_known("bash");
  open(10, site());
  EXPECT_TRUE(contains(reason(), "by name or high number")) << reason();
  program("/bin/dash");
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, OneOfALowerNumberIsNoWishEither) {
  well_known("bash");
  open(2, site());
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 2)->acquired_ns = 1;
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, OtherProgramsMeanNothingByIt) {
  program("/bin/bashful");
  open(3, site());
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, TheUserMayWantToSeeItAll) {
  well_known("bash");
  settings_.no_default_suppressions = true;
  open(3, site());
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, AShellKeepsTheScriptThatItReads) {
  program("/bin/dash");
  uint32_t at = site();
  open(10, at, "/home/u/script.sh");
  EXPECT_EQ(reason(), "") << "it reads none";
  builder_.header().script = builder_.text("/home/u/script.sh");
  EXPECT_TRUE(contains(reason(), "keeps the script")) << reason();
  open(11, at, "/home/u/script.sh (deleted)");
  EXPECT_TRUE(contains(reason(), "keeps the script")) << "it may have removed itself";
  open(12, at, "/home/u/script.sh.bak");
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, WhatItAcceptsForOneReasonEachHasTheFirst) {
  well_known("bash");
  builder_.header().script = builder_.text("/home/u/script.sh");
  uint32_t at = site();
  open(3, at);
  open(255, at, "/home/u/script.sh");
  EXPECT_TRUE(contains(reason(), "numbered descriptor")) << reason();
}

TEST_F(AcceptedTest, WhatAFunctionOpensIsAccepted) {
  const test::NamedOffset kNames[] = {{100, "uv__io_start"}, {2, "uv_loop_init"}};
  std::span<const test::NamedOffset> names = kNames;
  well_known("node");
  open(10, site());
  EXPECT_EQ(reason(), "") << "its functions have no names";
  resolver_ = test::naming_resolver(names);
  EXPECT_TRUE(contains(reason(), "event loop")) << reason();
  const test::NamedOffset kOthers[] = {{100, "uv__io_start"}, {2, "main"}};
  names = kOthers;
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, AnotherProgramOfThatNameHasLeaksOfItsOwn) {
  open(3, site());
  for (const char* name : {"bash", "zsh"}) {
    program(file(name, "callback_small.so"));
    EXPECT_EQ(reason(), "") << name;
    well_known(name);
    EXPECT_NE(reason(), "") << name;
  }
}

TEST_F(AcceptedTest, AShellThatExportsNothingIsKnownByItsPlace) {
  open(3, site());
  program(file("dash", "callback_small.so"));
  EXPECT_EQ(reason(), "");
  program("/usr/bin/dash");
  EXPECT_NE(reason(), "");
}

TEST_F(AcceptedTest, AnInterpreterMayBeInALibrary) {
  program(file("python3.12", "callback_small.so"));
  builder_.header().flags.fetch_or(ledger::kHeaderFlagForked);
  open(10, site(), "/dev/null");
  builder_.module(file("libpython3.12.so.1.0", "callback_small.so"));
  builder_.module(file("libother.so", "well_known_program.so"));
  EXPECT_EQ(reason(), "");
  builder_.module(file("libpython3.so", "well_known_program.so"));
  EXPECT_TRUE(contains(reason(), "multiprocessing keeps /dev/null")) << reason();
}

TEST_F(AcceptedTest, AForkedPythonWorkerKeepsDevNullOnce) {
  well_known("python3.11");
  uint32_t at = site();
  open(10, at, "/dev/null");
  EXPECT_EQ(reason(), "") << "it was not forked";
  builder_.header().flags.fetch_or(ledger::kHeaderFlagForked);
  EXPECT_TRUE(contains(reason(), "multiprocessing keeps /dev/null")) << reason();
  open(11, at, "/dev/null");
  EXPECT_EQ(reason(), "") << "it has two";
}

TEST_F(AcceptedTest, AForkedWorkerOpensFilesLikeAnybody) {
  well_known("python3.11");
  builder_.header().flags.fetch_or(ledger::kHeaderFlagForked);
  open(10, site(), "/tmp/data");
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, ASpawnedPythonWorkerHasACopyOfAPipe) {
  well_known("python3.11");
  builder_.header().argv =
      builder_.text(std::string_view("python3\0-c\0from multiprocessing.spawn import spawn_main; x()\0", 60));
  builder_.header().argv_count = 3;
  uint32_t at = site();
  open(10, at, "pipe:[7]");
  EXPECT_EQ(reason(), "") << "it is no copy";
  builder_.header().hook_names = builder_.text(std::string_view("fcntl\0", 6));
  builder_.header().hook_count = 1;
  EXPECT_TRUE(contains(reason(), "pipe to the parent")) << reason();
}

TEST_F(AcceptedTest, AForkServerRunsNoCodeOfTheProgram) {
  well_known("python3.11");
  builder_.header().argv =
      builder_.text(std::string_view("python3\0-c\0from multiprocessing.forkserver import main; x()\0", 59));
  builder_.header().argv_count = 3;
  uint32_t at = site();
  for (uint32_t number : {10u, 11u, 12u}) open(number, at, "/tmp/any");
  EXPECT_TRUE(contains(reason(), "multiprocessing")) << reason();
  builder_.header().flags.fetch_or(ledger::kHeaderFlagForked);
  EXPECT_EQ(reason(), "") << "what it has forked runs the program's";
}

TEST_F(AcceptedTest, APythonHelpersPipeIsKeptWhileItRuns) {
  well_known("python3.11");
  uint32_t at = site();
  open(10, at, "pipe:[7]", O_WRONLY);
  builder_.kernel_task(900, true, 'S');
  EXPECT_EQ(reason(), "") << "the child is no helper";
  builder_.writer().at<ledger::KernelTask>(ledger::SectionId::kernel_tasks, 0)->flags = ledger::kTaskPythonHelper;
  EXPECT_TRUE(contains(reason(), "pipe to its helper process")) << reason();
  open(11, at, "pipe:[8]", O_WRONLY);
  EXPECT_EQ(reason(), "") << "there is one helper";
}

TEST_F(AcceptedTest, TheReadingEndOfAPipeOrAFileIsNoHelpers) {
  well_known("python3.11");
  uint32_t at = site();
  builder_.kernel_task(900, true, 'S');
  builder_.writer().at<ledger::KernelTask>(ledger::SectionId::kernel_tasks, 0)->flags = ledger::kTaskPythonHelper;
  open(10, at, "pipe:[7]", O_RDONLY);
  EXPECT_EQ(reason(), "");
  auto* kernel = builder_.writer().at<ledger::KernelFd>(ledger::SectionId::kernel_fds, 0);
  kernel->status_flags = O_WRONLY;
  EXPECT_NE(reason(), "");
  kernel->target = builder_.text("/tmp/file");
  EXPECT_EQ(reason(), "");
}

TEST_F(AcceptedTest, BashClosesAPipeTwice) {
  well_known("bash");
  uint32_t own = site();
  builder_.misuse(MisuseKind::double_close, 5, 1, own);
  EXPECT_TRUE(contains(misuse_reason(), "bash closes the ends of its pipes a second time")) << misuse_reason();
  program("/bin/dash");
  EXPECT_EQ(misuse_reason(), "");
}

TEST_F(AcceptedTest, AModuleThatBashHasLoadedHasNoLeaveToClose) {
  well_known("bash");
  builder_.misuse(MisuseKind::double_close, 5, 1, site(Kind::fd, builder_.module("/opt/lib/plugin.so")));
  EXPECT_EQ(misuse_reason(), "");
}

TEST_F(AcceptedTest, TheRuntimesOwnFrameIsNobodys) {
  well_known("bash");
  uint32_t runtime = builder_.module("/opt/lib/libunfreed.so", ledger::kModuleRuntime);
  builder_.misuse(MisuseKind::double_close, 5, 1,
                  builder_.site(Kind::fd, 0, builder_.stack({{runtime, 1}, {main_, 3}, {main_, 2}})));
  EXPECT_NE(misuse_reason(), "");
}

class AcceptedLossesTest : public AcceptedTest {
 protected:
  /// A lost block of perl's, allocated by a module.
  std::string reason_of(uint32_t module, std::string_view exe = "") {
    if (exe.empty())
      well_known("perl");
    else
      program(exe);
    uint32_t at = site(Kind::heap, module);
    builder_.blocks(at, 1, 0, 10, 0);
    builder_.header().grading = static_cast<uint32_t>(ledger::Grading::done);
    uint64_t index = 0;
    auto* grades = builder_.writer().append<ledger::SiteGrades>(ledger::SectionId::grades, index);
    grades->site = at;
    grades->lost = {1, 10};
    return reason();
  }
};

TEST_F(AcceptedLossesTest, PerlLosesMemoryOfItsOwn) {
  EXPECT_TRUE(contains(reason_of(builder_.module("/usr/lib/x86_64-linux-gnu/libperl.so.5.36")), "perl frees"));
}

TEST_F(AcceptedLossesTest, AModuleThatIsNotTheSystemsLosesItsOwn) {
  EXPECT_EQ(reason_of(builder_.module("/home/u/auto/My/My.so")), "");
}

TEST_F(AcceptedLossesTest, OtherProgramsOfAWellKnownNameLoseTheirOwn) {
  EXPECT_EQ(reason_of(main_, file("node", "callback_small.so")), "");
  well_known("node");
  EXPECT_NE(reason(), "");
}

TEST_F(AcceptedLossesTest, OtherProgramsLoseTheirOwn) {
  EXPECT_EQ(reason_of(builder_.module("/usr/lib/x86_64-linux-gnu/libx.so"), "/usr/bin/program"), "");
}

}  // namespace
}  // namespace unfreed::report
