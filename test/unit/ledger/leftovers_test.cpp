// What is removed of ledgers that nobody comes back for, and what is kept.
#include "ledger/leftovers.h"

#include <gtest/gtest.h>
#include <sys/file.h>

#include "base/unique_fd.h"
#include "support/ledger_folder.h"

namespace unfreed::ledger {
namespace {

constexpr uint64_t kOtherNamespace = 4711;

class Leftovers : public test::LedgerFolderTest {
 protected:
  void sweep(Retention retention = {}) const {
    base::UniqueFd folder(base::open_file(folder_.c_str(), O_PATH | O_DIRECTORY));
    remove_leftovers(folder.get(), geteuid(), retention);
  }
  void sweep_all(Retention retention = {}) const { remove_leftover_folders(folder_.c_str(), geteuid(), retention); }
  std::string make_folder(uint64_t random = 0) const {
    base::FixedText<64> name;
    add_folder_name(name, geteuid(), random);
    EXPECT_EQ(mkdir(path(std::string(name.text())).c_str(), 0700), 0);
    return std::string(name.text());
  }
};

TEST_F(Leftovers, OfDeadProcessesOnlyEvidenceIsKept) {
  int dead = dead_pid();
  write_ledger(name_of(dead, 0), dead, State::replaced);
  write_ledger(name_of(dead, 1), dead, State::starting);
  write_ledger(name_of(dead, 2), dead, State::ended, true);
  write(name_of(dead, 3), "");
  write_ledger(name_of(dead, 4), dead, State::live);
  write_ledger(name_of(dead, 5), dead, State::ended);
  write("else", "not ours");
  sweep();
  for (uint32_t image = 0; image < 4; ++image) EXPECT_FALSE(exists(name_of(dead, image))) << image;
  EXPECT_TRUE(exists(name_of(dead, 4))) << "it was killed";
  EXPECT_TRUE(exists(name_of(dead, 5))) << "its report could not be written";
  EXPECT_TRUE(exists("else"));
}

TEST_F(Leftovers, EvidenceIsKeptForAWhileFromWhenItIsFound) {
  int dead = dead_pid();
  std::string name = name_of(dead);
  write_ledger(name, dead, State::live);
  sweep({.seconds = 0});
  EXPECT_EQ(mode_of(name), 0400u) << "found just now";
  sweep();
  EXPECT_TRUE(exists(name));
  sweep({.seconds = 0});
  EXPECT_FALSE(exists(name));
}

TEST_F(Leftovers, OnlyTheNewestFewAreKept) {
  std::vector<std::string> names;
  for (int count = 0; count < 12; ++count) {
    int dead = dead_pid();
    names.push_back(name_of(dead, static_cast<uint32_t>(count)));
    write_ledger(names.back(), dead, State::live);
    sweep();  // as the next process does, started again and again
    usleep(10'000);
  }
  size_t most = Retention().most;
  for (size_t at = 0; at < names.size(); ++at) EXPECT_EQ(exists(names[at]), at >= names.size() - most) << at;
}

TEST_F(Leftovers, NothingOfARunningProcessIsTouched) {
  for (State state : {State::starting, State::live, State::ended, State::replaced})
    write_ledger(name_of(getpid(), static_cast<uint32_t>(state)), getpid(), state);
  write(name_of(getpid(), 9), "");
  sweep({0, 0});
  sweep({0, 0});
  for (uint32_t image : {0u, 1u, 2u, 3u, 9u}) EXPECT_TRUE(exists(name_of(getpid(), image))) << image;
}

TEST_F(Leftovers, AnotherContainersAreNotTheRuntimesBusiness) {
  int dead = dead_pid();
  std::string name = name_of(dead, 0, false, kOtherNamespace);
  write_ledger(name, dead, State::replaced);
  sweep({0, 0});
  EXPECT_TRUE(exists(name));
}

TEST_F(Leftovers, ACommandAsksTheKernelWhetherAContainersProcessIsThere) {
  std::string folder = make_folder();
  std::string gone = folder + "/" + name_of(1, 0, false, kOtherNamespace);
  std::string used = folder + "/" + name_of(1, 1, false, kOtherNamespace);
  write_ledger(gone, 1, State::replaced);
  write_ledger(used, 1, State::live);
  pid_t user = map_elsewhere(used);
  sweep_all({0, 0});
  sweep_all({0, 0});
  EXPECT_FALSE(exists(gone));
  EXPECT_TRUE(exists(used));
  end(user);
  sweep_all({0, 0});
  EXPECT_FALSE(exists(used));
  EXPECT_FALSE(exists(folder)) << "empty";
}

TEST_F(Leftovers, WhatAnImageBeforeLeftIsNobodysAnyMore) {
  // Its process runs on, as a program of another user's, which could not remove it.
  std::string folder = make_folder();
  std::string name = folder + "/" + name_of(getpid());
  write_ledger(name, getpid(), State::replaced);
  sweep_all();
  EXPECT_FALSE(exists(name));
}

TEST_F(Leftovers, AFolderWhoseLauncherRunsIsLeftAlone) {
  int dead = dead_pid();
  std::string folder = make_folder(1);
  write(folder + "/launcher", "");
  write_ledger(folder + "/" + name_of(dead), dead, State::replaced);
  base::UniqueFd lock(base::open_file(path(folder + "/launcher").c_str(), O_RDWR));
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  sweep_all({0, 0});
  EXPECT_TRUE(exists(folder + "/" + name_of(dead)));
  lock.reset();  // it was killed
  sweep_all({0, 0});
  EXPECT_FALSE(exists(folder));
}

TEST_F(Leftovers, WhatWasLeftToALauncherThatWasKilledIsEvidence) {
  int dead = dead_pid();
  std::string folder = make_folder(1);
  std::string done = folder + "/" + name_of(dead, 0, true);
  write_ledger(done, dead, State::ended);
  sweep_all();
  EXPECT_TRUE(exists(done));
}

TEST_F(Leftovers, AFolderForOthersIsEmptiedToo) {
  int dead = dead_pid();
  std::string folder = make_folder(1);
  ASSERT_EQ(mkdir(path(folder + "/others-1").c_str(), 0700), 0);
  chmod(path(folder + "/others-1").c_str(), 01733);
  write_ledger(folder + "/others-1/" + name_of(dead), dead, State::replaced);
  sweep_all();
  EXPECT_FALSE(exists(folder));
}

TEST_F(Leftovers, AnAbandonedRunKeepsTheLedgersOfThoseThatRun) {
  int dead = dead_pid();
  write("launcher", "");
  write_ledger(name_of(dead), dead, State::live);
  write_ledger(name_of(dead, 1, true), dead, State::ended);
  std::string running = name_of(getpid());
  write_ledger(running, getpid(), State::live);
  std::string command = name_of(getppid());  // says the launcher
  write_ledger(command, getppid(), State::live);
  base::UniqueFd folder(base::open_file(folder_.c_str(), O_PATH | O_DIRECTORY));
  EXPECT_TRUE(abandon_run(folder.get(), getppid()));
  for (const std::string& name : {std::string("launcher"), name_of(dead), name_of(dead, 1, true), command})
    EXPECT_FALSE(exists(name)) << name;
  ASSERT_TRUE(exists(running));
  alignas(Header) char bytes[sizeof(Header)];
  int file = open(path(running).c_str(), O_RDONLY);
  ASSERT_EQ(pread(file, bytes, sizeof bytes, 0), static_cast<ssize_t>(sizeof bytes));
  close(file);
  EXPECT_EQ(reinterpret_cast<Header*>(bytes)->launcher_gone, 1u);
}

TEST_F(Leftovers, NoOthersFolderAndNoLinkIsFollowed) {
  int dead = dead_pid();
  ASSERT_EQ(mkdir(path("victim").c_str(), 0700), 0);
  write_ledger("victim/" + name_of(dead), dead, State::replaced);
  base::FixedText<64> name;
  add_folder_name(name, geteuid(), 1);
  std::filesystem::create_symlink("victim", folder_ / name.text());
  std::string open_to_all = make_folder(2);
  chmod(path(open_to_all).c_str(), 0777);
  write_ledger(open_to_all + "/" + name_of(dead), dead, State::replaced);
  sweep_all({0, 0});
  EXPECT_TRUE(exists("victim/" + name_of(dead)));
  EXPECT_TRUE(exists(open_to_all + "/" + name_of(dead)));
}

}  // namespace
}  // namespace unfreed::ledger
