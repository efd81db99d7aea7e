// Descriptors that another program inherits.
#include "track/exec_leaks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "support/tracked_process.h"
#include "track/fd.h"

namespace unfreed::track {
namespace {

using ledger::ExecLeak;
using ledger::FdOrigin;
using ledger::FdOwner;
using ledger::SectionId;

class ExecLeaksTest : public ::testing::Test {
 protected:
  ExecLeaksTest() {
    process_.header().sections[static_cast<size_t>(SectionId::exec_leaks)].count = 0;
    for (uint64_t at = 0; at < 16; ++at) std::memset(static_cast<void*>(&leak(at)), 0, sizeof(ExecLeak));
  }
  ~ExecLeaksTest() override {
    for (int fd : fds_) fd_closing(fd, {2, unwind::caller_registers()}, [&] { return close(fd); });
  }
  /// A descriptor that the process has opened; each call of it is a call site of its own.
  [[gnu::noinline]] int open_here(int flags = 0, const char* path = "/dev/null") {
    int fd = open(path, O_RDONLY | flags);
    fd_opened(fd, path, 1, unwind::caller_registers());
    fds_.push_back(fd);
    return fd;
  }
  static ExecLeaks start(const char* program = "/bin/true", const ChildFds& child = {}) {
    ExecLeaks noted;
    errno = 7;
    note_exec_leaks(3, program, noted, child);
    EXPECT_EQ(errno, 7);
    return noted;
  }
  ExecLeak& leak(uint64_t at) { return process_.record<ExecLeak>(SectionId::exec_leaks, at); }
  uint64_t records() { return process_.count(SectionId::exec_leaks); }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  std::vector<int> fds_;
};

TEST_F(ExecLeaksTest, OneIsRecordedWithTheProgramAndWhatItLeadsTo) {
  int fd = open_here();
  EXPECT_EQ(start().count, 1u);
  ASSERT_EQ(records(), 1u);
  EXPECT_EQ(leak(0).state, ledger::kExecLeakValid);
  EXPECT_EQ(leak(0).fd, fd);
  EXPECT_EQ(leak(0).count, 1u);
  EXPECT_EQ(leak(0).hook, 3);
  EXPECT_EQ(leak(0).caller_pid, base::current_pid());
  EXPECT_STREQ(leak(0).program, "/bin/true");
  EXPECT_STREQ(leak(0).target, "/dev/null");
  auto& record = process_.record<ledger::FdRecord>(SectionId::fds, static_cast<uint64_t>(fd));
  EXPECT_EQ(leak(0).site, ledger::fd_site(record.word));
  EXPECT_EQ(leak(0).serial, ledger::fd_serial(record.word));
  EXPECT_EQ(leak(0).acquired_ns, record.acquired_ns);
}

TEST_F(ExecLeaksTest, OneCallSiteIsOneRecord) {
  int times = 2;
  asm volatile("" : "+r"(times));  // or the compiler makes two calls of it
  for (int i = 0; i < times; ++i) open_here();
  open_here();
  EXPECT_EQ(start().count, 3u);
  ASSERT_EQ(records(), 2u);
  EXPECT_EQ(leak(0).count, 2u);
  EXPECT_EQ(leak(1).count, 1u);
  start();
  ASSERT_EQ(records(), 2u);
  EXPECT_EQ(leak(0).count, 4u);
}

TEST_F(ExecLeaksTest, WhatWasNotStartedIsTakenBack) {
  open_here();
  start();
  ExecLeaks noted = start();
  EXPECT_EQ(leak(0).count, 2u);
  take_exec_leaks_back(noted);
  EXPECT_EQ(leak(0).count, 1u);
}

TEST_F(ExecLeaksTest, WhatClosesOrIsNotItsOwnIsNone) {
  open_here(O_CLOEXEC);
  int given = open("/dev/null", O_RDONLY), ignored = open_here();
  fd_arrived(given, FdOrigin::inherited, 1, unwind::caller_registers());
  fd_ignore(ignored);
  fds_.push_back(given);
  EXPECT_EQ(start().count, 0u);
  EXPECT_EQ(records(), 0u);
}

TEST_F(ExecLeaksTest, WhatTheChildClosesOrReplacesIsNone) {
  int first = open_here(), second = open_here(), third = open_here();
  ChildFds child;
  child.add(first);
  child.closed_from = third;
  EXPECT_EQ(start("/bin/true", child).count, 1u);
  EXPECT_EQ(leak(0).fd, second);
}

TEST_F(ExecLeaksTest, PopenClosesWhatEarlierOnesHaveOpened) {
  int one = open_here();
  fd_adopted(one, {FdOwner::popen_stream, this});
  ChildFds child;
  child.closes_popen_streams = true;
  EXPECT_EQ(start("/bin/sh", child).count, 0u);
  EXPECT_EQ(start("/bin/sh").count, 1u) << "others do not";
  fd_adopted(one, {});
}

TEST_F(ExecLeaksTest, NumbersThatTheUserAllowsAreNone) {
  int fd = fcntl(open_here(O_CLOEXEC), F_DUPFD, 300);
  fd_opened(fd, "/dev/null", 1, unwind::caller_registers());
  fds_.push_back(fd);
  EXPECT_EQ(start().count, 1u);
  allow_exec_leak(fd - 5, fd - 1);
  allow_exec_leak(fd + 1, fd + 5);
  EXPECT_EQ(start().count, 1u);
  allow_exec_leak(fd, fd);
  EXPECT_EQ(start().count, 0u);
}

TEST_F(ExecLeaksTest, ANameThatCannotBeReadIsLeftOut) {
  open_here();
  auto* pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  munmap(pages + 4096, 4096);
  std::strcpy(pages + 4096 - 5, "true");
  start(pages + 4096 - 5);
  EXPECT_STREQ(leak(0).program, "true") << "what follows it is not needed";
  munmap(pages, 4096);
  open_here();
  start(pages);
  EXPECT_STREQ(leak(1).program, "");
  std::string path = "/" + std::string(1000, 'x');
  open_here();
  start(path.c_str());
  EXPECT_EQ(std::string(leak(2).program), path.substr(0, sizeof leak(2).program - 1));
}

/// With the ledger of a parent process, as the library keeps it across fork.
class ParentsExecLeaksTest : public ExecLeaksTest {
 protected:
  ParentsExecLeaksTest() {
    ledger::Header shape{};
    test::lay_out(shape, test::LedgerSize::compact);
    bytes_ = shape.file_bytes;
    file_ = memfd_create("parent", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(file_, static_cast<off_t>(bytes_)), 0);
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    test::lay_out(header(), test::LedgerSize::compact);
    keep_parents_exec_leaks({memory_, ledger::Backing::shared_file, nullptr, nullptr});
  }
  ~ParentsExecLeaksTest() override {
    keep_parents_exec_leaks(ledger::Writer(memory_));
    munmap(memory_, bytes_);
    close(file_);
  }
  ledger::Header& header() { return *static_cast<ledger::Header*>(memory_); }
  ledger::Section& table() { return header().sections[static_cast<size_t>(SectionId::exec_leaks)]; }
  ExecLeak& in_parent(uint64_t at) { return *ledger::Writer(memory_).at<ExecLeak>(SectionId::exec_leaks, at); }
  uint64_t dropped(ledger::Dropped reason) { return header().dropped[static_cast<size_t>(reason)]; }
  /// A descriptor that the parent has opened, at the call site of that number.
  void inherit(uint32_t site) {
    int fd = open_here();
    auto& word = process_.record<ledger::FdRecord>(SectionId::fds, static_cast<uint64_t>(fd)).word;
    word = ledger::fd_word(FdOrigin::inherited, site, ledger::fd_serial(word));
  }

  int file_;
  void* memory_;
  size_t bytes_;
};

TEST_F(ParentsExecLeaksTest, WhatTheParentHasOpenedIsRecordedThere) {
  inherit(7);
  inherit(8);
  inherit(7);
  EXPECT_EQ(start().count, 3u);
  EXPECT_EQ(records(), 0u);
  ASSERT_EQ(table().count, 2u);
  EXPECT_EQ(in_parent(0).site, 7u);
  EXPECT_EQ(in_parent(0).count, 2u);
  EXPECT_EQ(in_parent(0).caller_pid, base::current_pid());
  EXPECT_EQ(in_parent(1).site, 8u);
  EXPECT_EQ(in_parent(1).count, 1u);
}

TEST_F(ParentsExecLeaksTest, AFullTableOfTheParentsIsCountedThere) {
  table().capacity = 1;
  inherit(7);
  inherit(8);
  EXPECT_EQ(start().count, 1u);
  EXPECT_EQ(in_parent(1).count, 0u);
  EXPECT_EQ(dropped(ledger::Dropped::exec_leaks_full), 1u);
}

/// Touching what has no storage would end the program.
TEST_F(ParentsExecLeaksTest, WithoutStorageForTheParentsTableNothingIsRecorded) {
  ASSERT_EQ(ftruncate(file_, ledger::kPageBytes), 0);
  inherit(7);
  EXPECT_EQ(start().count, 0u);
  EXPECT_EQ(dropped(ledger::Dropped::storage_full), 1u);
}

TEST_F(ExecLeaksTest, AForkChildWithoutALedgerOfItsOwnHasWhatWasOpenAtTheFork) {
  int fd = open_here();
  auto& word = process_.record<ledger::FdRecord>(SectionId::fds, static_cast<uint64_t>(fd)).word;
  uint64_t before = word;
  uint32_t now = g_tracker.serial;
  auto alive = g_fork_page.alive.exchange(0);
  for (uint32_t serial : {now, now + 1}) {
    word = ledger::fd_word(FdOrigin::acquired, ledger::fd_site(before), serial);
    EXPECT_EQ(start().count, serial == now ? 1u : 0u) << "what the parent opens later is its own";
  }
  g_fork_page.alive = alive;
  word = before;
}

TEST_F(ExecLeaksTest, WithoutTrackingNothingIsRecorded) {
  open_here();
  test::Untracked untracked;
  EXPECT_EQ(start().count, 0u);
}

}  // namespace
}  // namespace unfreed::track
