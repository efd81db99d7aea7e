// Names of ledgers' files; whose a file is, and whether its process is still there.
#include "ledger/ownership.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <iterator>

#include "base/unique_fd.h"
#include "ledger/file_names.h"
#include "support/ledger_folder.h"

namespace unfreed::ledger {
namespace {

TEST(FileNames, AreReadAsTheyAreWritten) {
  for (const FileName& name : {FileName{1, 4026531836, 0, false}, FileName{4711, 0, 7, true},
                               FileName{INT32_MAX, UINT64_MAX, UINT32_MAX, true}}) {
    base::FixedText<64> text;
    add_file_name(text, name);
    EXPECT_FALSE(text.cut());
    FileName read;
    ASSERT_TRUE(parse_file_name(text.text(), read)) << text.text();
    EXPECT_EQ(read.pid, name.pid);
    EXPECT_EQ(read.pid_namespace, name.pid_namespace);
    EXPECT_EQ(read.image, name.image);
    EXPECT_EQ(read.done, name.done);
  }
}

TEST(FileNames, AreNotReadFromAnythingElse) {
  FileName name;
  for (const char* other : {"",
                            "1",
                            "1-",
                            "1-2",
                            "1-2-",
                            "0-2-3",
                            "-1-2-3",
                            "1-2-3.",
                            "1-2-3.tmp",
                            "1-2-3.done2",
                            "x-2-3",
                            "1-x-3",
                            "1-2-x",
                            "2147483648-2-3",
                            "1-18446744073709551616-3",
                            "1-2-4294967296",
                            "launcher",
                            "others-ab",
                            ".",
                            ".."})
    EXPECT_FALSE(parse_file_name(other, name)) << other;
}

TEST(FileNames, FoldersTellTheirUser) {
  base::FixedText<64> text;
  add_folder_name(text, 1000, 0xab);
  EXPECT_EQ(text.text(), "unfreed-1000-00000000000000ab");
  EXPECT_TRUE(is_folder_name(text.text(), 1000));
  EXPECT_TRUE(is_folder_name("unfreed-1000", 1000));
  EXPECT_FALSE(is_folder_name("unfreed-1000", 100));
  for (const char* other : {"", "unfreed-", "unfreed-1000-", "unfreed-1000-x", "unfreed-10001", ".unfreed-1000-ab",
                            "unfreed-1000-ab/", "unfreed-test-ab"})
    EXPECT_FALSE(is_folder_name(other, 1000)) << other;
}

class Ownership : public test::LedgerFolderTest {
 protected:
  long open_it(const std::string& name, unsigned user = geteuid()) const {
    struct stat status {};
    base::UniqueFd folder(base::open_file(folder_.c_str(), O_PATH | O_DIRECTORY));
    base::UniqueFd file(open_own_file(folder.get(), name.c_str(), user, O_RDONLY, status));
    return file ? 0 : -file.error();
  }
  long open_sub(const std::string& name, unsigned user = geteuid(), bool is_for_others = false) const {
    base::UniqueFd folder(open_folder(AT_FDCWD, path(name).c_str(), user, is_for_others));
    return folder ? 0 : -folder.error();
  }
};

TEST_F(Ownership, OnlyAUsersOwnRegularFilesAreOpened) {
  write("own", "text");
  EXPECT_EQ(open_it("own"), 0);
  EXPECT_EQ(open_it("own", geteuid() + 1), -EPERM);
  EXPECT_EQ(open_it("missing"), -ENOENT);
  std::filesystem::create_symlink("own", folder_ / "link");
  EXPECT_EQ(open_it("link"), -ELOOP);
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(open_it("fifo"), -EPERM) << "and nobody was waited for";
  ASSERT_EQ(mkdir(path("folder").c_str(), 0700), 0);
  EXPECT_EQ(open_it("folder"), -EPERM);
}

TEST_F(Ownership, OnlyFoldersThatNobodyElseCanWriteToAreOpened) {
  ASSERT_EQ(mkdir(path("own").c_str(), 0711), 0);
  EXPECT_EQ(open_sub("own"), 0);
  EXPECT_EQ(open_sub("own", geteuid() + 1), -EPERM);
  chmod(path("own").c_str(), 01733);
  EXPECT_EQ(open_sub("own"), -EPERM);
  EXPECT_EQ(open_sub("own", geteuid(), true), 0) << "it is meant for them";
  chmod(path("own").c_str(), 0720);
  EXPECT_EQ(open_sub("own"), -EPERM);
  chmod(path("own").c_str(), 0700);
  std::filesystem::create_symlink("own", folder_ / "link");
  EXPECT_EQ(open_sub("link"), -ENOTDIR);
  write("file", "");
  EXPECT_EQ(open_sub("file"), -ENOTDIR);
}

TEST_F(Ownership, AMappedFileIsInUseWhoeverAsks) {
  write("ledger", std::string(4096, 'x'));
  auto is_in_use = [this] {
    base::UniqueFd file(base::open_file(path("ledger").c_str(), O_RDONLY));
    return may_be_mapped(file.get());
  };
  ASSERT_TRUE(is_in_memory(base::UniqueFd(base::open_file(path("ledger").c_str(), O_RDONLY)).get()))
      << "/dev/shm is not in memory here";
  EXPECT_FALSE(is_in_use());
  pid_t user = map_elsewhere("ledger");
  EXPECT_TRUE(is_in_use());
  end(user);
  EXPECT_FALSE(is_in_use());
}

TEST(Boot, HasANumber) {
  EXPECT_NE(boot_number(), 0u);
  EXPECT_EQ(boot_number(), boot_number());
  EXPECT_NE(own_pid_namespace(), 0u);
}

TEST(Running, GoesOnWithoutTheMainThread) {
  pid_t child = fork();
  if (child == 0) {
    pthread_t other;
    pthread_create(
        &other, nullptr, [](void*) -> void* { return reinterpret_cast<void*>(intptr_t{pause()}); }, nullptr);
    syscall(SYS_exit, 0);
  }
  auto state = [child] {
    std::ifstream file("/proc/" + std::to_string(child) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    return text.at(text.rfind(')') + 2);
  };
  while (state() != 'Z') usleep(1000);
  EXPECT_TRUE(is_running(child, 0));
  EXPECT_FALSE(is_running(child, 1));
  kill(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(is_running(child, 0));
  waitpid(child, nullptr, 0);
}

TEST(Running, KnowsProcesses) {
  EXPECT_TRUE(is_running(getpid(), 0));
  EXPECT_TRUE(is_running(getpid(), boottime_ns()));
  EXPECT_FALSE(is_running(getpid(), 1)) << "that number, but a process that has started later";
  EXPECT_FALSE(is_running(0, 0));
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(is_running(child, 0)) << "a zombie";
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace unfreed::ledger
