// What the state of descriptors says about the mistake, in words.
#include "evaluate/hints.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ledger/layout.h"

namespace unfreed::report {
namespace {

class HintsTest : public ::testing::Test {
 protected:
  /// So many descriptors of one kind.
  void hold(int count, Text target, uint32_t flags = 0) {
    for (int i = 0; i < count; ++i) held_.push_back({target, flags});
  }
  /// The hints, each as "name count bytes: sentence".
  std::vector<std::string> hints() {
    base::Arena arena;
    Report report;
    add_hints_of_process(held_, report, arena);
    std::vector<std::string> result;
    for (const Hint& hint : report.hints)
      result.push_back(std::string(hint.name) + ' ' + std::to_string(hint.count) + ' ' + std::to_string(hint.bytes) +
                       ": " + std::string(hint.text));
    return result;
  }
  /// The only hint there is.
  std::string hint() {
    std::vector<std::string> all = hints();
    return all.size() == 1 ? all[0] : std::to_string(all.size()) + " hints";
  }
  static constexpr uint32_t blocks(uint32_t count) { return count << ledger::kKernelFdDiskShift; }

  std::vector<KernelState> held_;
};

TEST_F(HintsTest, NothingIsSaidOfDescriptorsThatAreAsTheyShouldBe) {
  hold(3, "/tmp/a");
  hold(40, "socket:[1] tcp 10.0.0.1:80 -> 10.0.0.2:4000 established");
  hold(2, "pipe:[7]");
  hold(1, "");
  EXPECT_EQ(hints(), std::vector<std::string>());
}

TEST_F(HintsTest, ConnectionsThatThePeerHasClosedAreCounted) {
  const std::string kRest =
      "in CLOSE_WAIT: the peer has closed the connection, this side has not; close it where reading returns 0";
  hold(1, "tcp 10.0.0.1:80 -> 10.0.0.2:4000 close_wait");
  EXPECT_EQ(hint(), "close_wait 1 0: 1 is " + kRest) << "a single one is not \"all\"";
  hold(1, "tcp 10.0.0.1:80 -> 10.0.0.2:4001 close_wait");
  EXPECT_EQ(hint(), "close_wait 2 0: all are " + kRest);
  hold(1, "pipe:[7]");
  EXPECT_EQ(hint(), "close_wait 2 0: 2 are " + kRest);
}

TEST_F(HintsTest, WhatIsDeletedAndOnNoDiskIsNotSaidToTakeDiskSpace) {
  for (Text target : {"/dev/pts/0 (deleted)", "/dev/shm/queue (deleted)", "/secretmem (deleted)",
                      "/anon_hugepage (deleted)", "/memfd:x (deleted)"})
    hold(1, target);
  EXPECT_EQ(hints(), std::vector<std::string>());
}

TEST_F(HintsTest, DeletedFilesAreSaidToTakeDiskSpace) {
  hold(1, "/tmp/a (deleted)");
  hold(1, "/tmp/b");
  EXPECT_EQ(hint(), "deleted_file 1 0: 1 is a deleted file, whose disk space is free only when it is closed");
  hold(1, "/tmp/c (deleted)");
  EXPECT_EQ(hint(), "deleted_file 2 0: 2 are deleted files, whose disk space is free only when they are closed");
  hold(1, "anon_inode:x (deleted)");
  EXPECT_EQ(hint(), "deleted_file 2 0: 2 are deleted files, whose disk space is free only when they are closed")
      << "what has no name in a file system takes none of it";
}

TEST_F(HintsTest, TheDiskSpaceOfDeletedFilesIsRounded) {
  const struct {
    uint32_t blocks;
    const char* size;
  } kSizes[] = {{1, "4 KiB"},         {25, "100 KiB"},       {255, "1020 KiB"},   {256, "1 MiB"},
                {384, "1.5 MiB"},     {269, "1.1 MiB"},      {25'599, "100 MiB"}, {25'344, "99 MiB"},
                {25'370, "99.1 MiB"}, {262'144, "1 GiB"},    {25'600, "100 MiB"}, {26'000, "101 MiB"},
                {262'143, "1 GiB"},   {262'000, "1023 MiB"}, {393'216, "1.5 GiB"}};
  for (const auto& one : kSizes) {
    held_.clear();
    hold(1, "/tmp/a (deleted)", blocks(one.blocks));
    EXPECT_EQ(hint(), "deleted_file 1 " + std::to_string(uint64_t{one.blocks} * 4096) +
                          ": 1 is a deleted file that takes " + one.size + " of disk space until closed");
  }
  hold(1, "/tmp/b (deleted)", blocks(384));
  hold(8000, "/tmp/c (deleted)", blocks(0xfffffff));
  std::string largest = hints()[0];
  EXPECT_NE(largest.find("deleted_file 8002 "), std::string::npos) << largest;
  EXPECT_NE(largest.find(": all are deleted files that take 8000 TiB of disk space until closed"), std::string::npos)
      << largest;
}

TEST_F(HintsTest, AFileThatIsOpenedAgainAndAgainIsNamed) {
  hold(7, "/tmp/often");
  hold(1, "/tmp/other");
  EXPECT_EQ(hint(), "0 hints") << "seven times may be on purpose";
  hold(1, "/tmp/often");
  EXPECT_EQ(hint(), "same_target 8 0: opened 8 times and not closed: /tmp/often");
  hold(23, "pipe:[7]");
  EXPECT_EQ(hint(), "same_target 8 0: opened 8 times and not closed: /tmp/often") << "a quarter of all";
  hold(1, "pipe:[7]");
  EXPECT_EQ(hint(), "0 hints") << "less than a quarter";
}

TEST_F(HintsTest, AFileThatIsAllThereIsNeedsNoName) {
  hold(8, "/tmp/only");
  EXPECT_EQ(hint(), "0 hints");
}

TEST_F(HintsTest, OfTwoFilesTheOneThatIsOpenMoreOftenIsNamed) {
  hold(8, "/tmp/a");
  hold(9, "/tmp/b");
  hold(8, "/tmp/c");
  EXPECT_EQ(hint(), "same_target 9 0: opened 9 times and not closed: /tmp/b");
  hold(1, "/tmp/c");
  EXPECT_EQ(hint(), "same_target 9 0: opened 9 times and not closed: /tmp/b");
}

TEST_F(HintsTest, WhatTheKernelSaysOfPipesEventfdsAndLocksIsTold) {
  struct {
    uint32_t flag;
    std::string one, more;
  } kStates[] = {
      {ledger::kKernelFdHungUp, "pipe_end_gone 1 0: 1 is a pipe whose other end is closed: close this end, too",
       "pipe_end_gone 2 0: all are pipes whose other end is closed: close this end, too"},
      {ledger::kKernelFdUnread,
       "eventfd_unread 1 0: 1 is an eventfd that was written to and not read: whoever waited has gone",
       "eventfd_unread 2 0: all are eventfds that were written to and not read: whoever waited has gone"},
      {ledger::kKernelFdLocked,
       "locked 1 0: 1 is a file with a lock (flock or fcntl): who wants the lock waits until it is closed",
       "locked 2 0: all are files with a lock (flock or fcntl): who wants the lock waits until it is closed"},
  };
  for (const auto& state : kStates) {
    held_.clear();
    hold(1, "x", state.flag);
    EXPECT_EQ(hint(), state.one);
    hold(1, "x", state.flag);
    EXPECT_EQ(hint(), state.more);
  }
}

TEST_F(HintsTest, EveryStateHasItsOwnHint) {
  hold(1, "/tmp/a (deleted)", ledger::kKernelFdLocked);
  hold(1, "pipe:[7]", ledger::kKernelFdHungUp);
  std::vector<std::string> all = hints();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].substr(0, 14), "deleted_file 1");
  EXPECT_EQ(all[1].substr(0, 15), "pipe_end_gone 1");
  EXPECT_EQ(all[2].substr(0, 8), "locked 1");
}

}  // namespace
}  // namespace unfreed::report
