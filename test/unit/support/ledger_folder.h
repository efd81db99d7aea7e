// A folder for ledgers in memory, for tests of what becomes of their files.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "ledger/file_names.h"
#include "ledger/layout.h"
#include "ledger/ownership.h"
#include "ledger/writer.h"

namespace unfreed::test {

class LedgerFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/dev/shm/unfreed-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    for (pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_ / name); }
  mode_t mode_of(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(lstat(path(name).c_str(), &status), 0);
    return status.st_mode & 07777;
  }
  static std::string name_of(int pid, uint32_t image = 0, bool done = false,
                             uint64_t pid_namespace = ledger::own_pid_namespace()) {
    base::FixedText<64> text;
    ledger::add_file_name(text, {pid, pid_namespace, image, done});
    return std::string(text.text());
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  /// The header of a ledger that was made just now.
  void write_ledger(const std::string& name, int pid, ledger::State state, bool is_reported = false) const {
    auto header = std::make_unique<ledger::Header>();
    ledger::lay_out(*header, 1);
    header->pid = pid;
    header->pid_namespace = ledger::own_pid_namespace();
    header->created_boottime_ns = ledger::boottime_ns();
    header->state.store(static_cast<uint32_t>(state));
    header->is_reported = is_reported;
    int out = open(path(name).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT_GE(out, 0);
    EXPECT_EQ(ftruncate(out, static_cast<off_t>(header->file_bytes)), 0);
    EXPECT_EQ(pwrite(out, header.get(), sizeof *header, 0), static_cast<ssize_t>(sizeof *header));
    close(out);
  }
  /// A process that has the file mapped, as the runtime does, until the test ends or it is killed.
  pid_t map_elsewhere(const std::string& name) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
      int file = open(path(name).c_str(), O_RDWR);
      void* place = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      close(file);
      if (write_end(ends[1], place != MAP_FAILED)) pause();
      _exit(0);
    }
    close(ends[1]);
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    children_.push_back(child);
    return child;
  }
  void end(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::erase(children_, child);
  }
  /// A number that no process has now.
  static int dead_pid() {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    waitpid(pid, nullptr, 0);
    return pid;
  }

  std::filesystem::path folder_;

 private:
  static bool write_end(int pipe, bool good) { return good && ::write(pipe, "m", 1) == 1; }
  std::vector<pid_t> children_;
};

}  // namespace unfreed::test
