// Programs that could not be tracked: in the ledger of who started them, and on the run's board.
#include "track/untracked.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "support/scratch_folder.h"
#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using elf::Obstacle;
using ledger::SectionId;
using ledger::Untracked;
using ledger::UntrackedBoard;

class UntrackedTest : public test::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    process_.header().sections[static_cast<size_t>(SectionId::untracked)].count = 0;
    std::memset(static_cast<void*>(&in_ledger(0)), 0, 16 * sizeof(Untracked));
    board_path_ = path("board");
  }
  void TearDown() override {
    set_untracked_board("");
    ScratchFolder::TearDown();
  }
  /// As the launcher makes it.
  void make_board(const char* magic = UntrackedBoard::kBoardMagic) {
    std::string bytes(sizeof(UntrackedBoard), '\0');
    bytes.replace(0, sizeof UntrackedBoard::kBoardMagic, magic, sizeof UntrackedBoard::kBoardMagic);
    write("board", bytes);
    chmod(board_path_.c_str(), 0600);
    set_untracked_board(board_path_.c_str());
  }
  std::unique_ptr<UntrackedBoard> board() {
    auto copy = std::make_unique<UntrackedBoard>();
    std::string bytes = read("board");
    std::memcpy(static_cast<void*>(copy.get()), bytes.data(), std::min(bytes.size(), sizeof *copy));
    return copy;
  }
  Untracked& in_ledger(uint64_t at) { return process_.record<Untracked>(SectionId::untracked, at); }
  uint64_t records() { return process_.count(SectionId::untracked); }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  std::string board_path_;
};

TEST_F(UntrackedTest, OneProgramIsOneRecordForEachReason) {
  for (int pid : {11, 12}) note_untracked({"/bin/static", Obstacle::static_program, pid, false});
  note_untracked({"/bin/static", Obstacle::musl, 13, false});
  note_untracked({"/bin/other", Obstacle::static_program, 14, false});
  ASSERT_EQ(records(), 3u);
  EXPECT_EQ(in_ledger(0).count, 2u);
  EXPECT_EQ(in_ledger(0).state, ledger::kUntrackedValid);
  EXPECT_EQ(in_ledger(0).obstacle, static_cast<uint8_t>(Obstacle::static_program));
  EXPECT_STREQ(in_ledger(0).program, "/bin/static");
  EXPECT_EQ(in_ledger(0).pids[0], 11);
  EXPECT_EQ(in_ledger(0).pids[1], 12);
  EXPECT_NE(in_ledger(0).started_ns[0], 0u);
  EXPECT_EQ(in_ledger(0).is_off_board, 0) << "there is no launcher, and no board";
  EXPECT_EQ(in_ledger(1).count, 1u);
  EXPECT_EQ(in_ledger(2).count, 1u);
  EXPECT_STREQ(in_ledger(2).program, "/bin/other");
}

TEST_F(UntrackedTest, OfManyProcessesTheNewestAreKept) {
  for (int pid = 1; pid <= 6; ++pid) note_untracked({"/bin/static", Obstacle::static_program, pid, false});
  EXPECT_EQ(in_ledger(0).count, 6u);
  EXPECT_EQ(in_ledger(0).pids[0], 5);
  EXPECT_EQ(in_ledger(0).pids[1], 6);
  EXPECT_EQ(in_ledger(0).pids[2], 3);
}

TEST_F(UntrackedTest, ALongPathIsCutAndStillTheSame) {
  std::string path = "/" + std::string(300, 'x');
  for (int pid : {11, 12}) note_untracked({path, Obstacle::musl, pid, false});
  ASSERT_EQ(records(), 1u);
  EXPECT_EQ(in_ledger(0).count, 2u);
  EXPECT_EQ(std::string(in_ledger(0).program), path.substr(0, sizeof in_ledger(0).program - 1));
}

TEST_F(UntrackedTest, OneThatWasNotStartedIsTakenBack) {
  for (int pid : {11, 12}) note_untracked({"/bin/static", Obstacle::static_program, pid, false});
  take_untracked_back({"/bin/static", Obstacle::musl, 11, false});
  EXPECT_EQ(in_ledger(0).count, 2u) << "another reason";
  errno = 7;
  take_untracked_back({"/bin/static", Obstacle::static_program, 11, false});
  EXPECT_EQ(errno, 7);
  EXPECT_EQ(in_ledger(0).count, 1u);
  EXPECT_EQ(in_ledger(0).pids[0], 0);
  EXPECT_EQ(in_ledger(0).pids[1], 12);
}

TEST_F(UntrackedTest, TheRunsBoardHasItToo) {
  make_board();
  for (int pid : {11, 12}) note_untracked({"/bin/static", Obstacle::static_program, pid, false});
  ASSERT_EQ(board()->count, 1u);
  EXPECT_EQ(board()->records[0].count, 2u);
  EXPECT_STREQ(board()->records[0].program, "/bin/static");
  EXPECT_EQ(board()->records[0].is_off_board, 0);
  EXPECT_EQ(in_ledger(0).is_off_board, 0);
  take_untracked_back({"/bin/static", Obstacle::static_program, 12, false});
  EXPECT_EQ(board()->records[0].count, 1u);
  EXPECT_EQ(in_ledger(0).count, 1u);
}

TEST_F(UntrackedTest, ABoardThatIsFullCountsWhatItLacks) {
  make_board();
  for (uint32_t at = 0; at < UntrackedBoard::kRecords + 2; ++at)
    note_untracked({"/bin/" + std::to_string(at), Obstacle::musl, 1, false});
  EXPECT_EQ(board()->dropped, 2u);
  EXPECT_STREQ(board()->records[UntrackedBoard::kRecords - 1].program, "/bin/126");
  EXPECT_EQ(records(), UntrackedBoard::kRecords + 2) << "the ledger has room";
}

TEST_F(UntrackedTest, WhatTheBoardCouldNotTakeIsARecordOfItsOwn) {
  make_board();
  note_untracked({"/bin/static", Obstacle::static_program, 11, false});
  std::string gone = path("gone");
  set_untracked_board(gone.c_str());
  note_untracked({"/bin/static", Obstacle::static_program, 12, false});
  ASSERT_EQ(records(), 2u);
  EXPECT_EQ(in_ledger(0).is_off_board, 0);
  EXPECT_EQ(in_ledger(1).is_off_board, 1) << "its launcher has to add it";
  make_board("NO BOARD");
  note_untracked({"/bin/static", Obstacle::static_program, 13, false});
  EXPECT_EQ(in_ledger(1).count, 2u);
  EXPECT_EQ(board()->count, 0u);
  write("board", "short");
  note_untracked({"/bin/static", Obstacle::static_program, 14, false});
  EXPECT_EQ(in_ledger(1).count, 3u);
}

TEST_F(UntrackedTest, ABoardOfAnotherUserOrThatIsNoFileIsNotWrittenTo) {
  make_board();
  if (geteuid() == 0) {
    ASSERT_EQ(chown(board_path_.c_str(), 1, 1), 0);
    note_untracked({"/bin/static", Obstacle::static_program, 11, false});
    EXPECT_EQ(board()->count, 0u);
    EXPECT_EQ(in_ledger(0).is_off_board, 1);
    ASSERT_EQ(chown(board_path_.c_str(), 0, 0), 0);
  }
  std::string link = path("link");
  ASSERT_EQ(symlink(board_path_.c_str(), link.c_str()), 0);
  for (const std::string& other : {link, path("")}) {
    set_untracked_board(other.c_str());
    note_untracked({"/bin/other", Obstacle::musl, 12, false});
    EXPECT_EQ(board()->count, 0u);
  }
  EXPECT_EQ(in_ledger(records() - 1).is_off_board, 1);
  EXPECT_EQ(in_ledger(records() - 1).count, 2u);
}

TEST_F(UntrackedTest, WritingToTheBoardLeavesNothingOpenAndNothingMapped) {
  make_board();
  auto next_free = [] {
    int fd = dup(2);
    close(fd);
    return fd;
  };
  auto mappings = [this] {
    std::ifstream maps("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) count += line.find(board_path_) != line.npos;
    return count;
  };
  int fd = next_free();
  for (int round = 0; round < 3; ++round) {
    note_untracked({"/bin/static", Obstacle::static_program, 11, false});
    EXPECT_EQ(next_free(), fd);
    EXPECT_EQ(mappings(), 0);
    make_board(round ? UntrackedBoard::kBoardMagic : "NO BOARD");
  }
}

TEST_F(UntrackedTest, OneThatIsItselfUntrackedIsOnTheBoardAlone) {
  errno = 7;
  note_self_untracked("/bin/self", Obstacle::musl);
  EXPECT_EQ(records(), 0u);
  make_board();
  errno = 7;
  note_self_untracked("/bin/self", Obstacle::musl);
  EXPECT_EQ(errno, 7);
  EXPECT_EQ(records(), 0u);
  ASSERT_EQ(board()->count, 1u);
  EXPECT_STREQ(board()->records[0].program, "/bin/self");
  EXPECT_EQ(board()->records[0].obstacle, static_cast<uint8_t>(Obstacle::musl));
  EXPECT_EQ(board()->records[0].pids[0], base::current_pid());
  EXPECT_EQ(board()->records[0].is_off_board, 0);
}

// Others may be adding a record, and have counted more than there is room for.
TEST_F(UntrackedTest, ARecordThatIsNotFilledInYetIsNobodys) {
  note_untracked({"/bin/static", Obstacle::static_program, 11, false});
  in_ledger(0).state = ledger::kUntrackedFilling;
  note_untracked({"/bin/static", Obstacle::static_program, 12, false});
  EXPECT_EQ(records(), 2u);
  EXPECT_EQ(in_ledger(0).count, 1u);
  in_ledger(0).state = ledger::kUntrackedValid;
  take_untracked_back({"/bin/static", Obstacle::static_program, 12, false});
  EXPECT_EQ(in_ledger(0).count, 0u);
  EXPECT_EQ(in_ledger(0).pids[0], 11) << "it is another process";
}

TEST_F(UntrackedTest, ALedgerThatIsFullCountsWhatItLacks) {
  auto& section = process_.header().sections[static_cast<size_t>(SectionId::untracked)];
  auto& dropped = process_.header().dropped[static_cast<size_t>(ledger::Dropped::untracked_full)];
  uint64_t before = dropped;
  section.count = section.capacity;
  for (uint64_t lacking = 1; lacking <= 3; ++lacking) {
    note_untracked({"/bin/static", Obstacle::static_program, 11, false});
    EXPECT_EQ(dropped, before + lacking);
    EXPECT_EQ(records(), section.capacity + lacking);
  }
  take_untracked_back({"/bin/static", Obstacle::static_program, 11, false});
  EXPECT_EQ(dropped, before + 3);
}

}  // namespace
}  // namespace unfreed::track
