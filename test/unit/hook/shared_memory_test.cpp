// Which segments of System V shared memory are the process's own.
#include <gtest/gtest.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "support/real_functions.h"
#include "support/tracked_process.h"

namespace unfreed::hook {
namespace {

using ledger::HandleRecord;
using ledger::Kind;
using ledger::SectionId;

constexpr size_t kBytes = 8192;

class SharedMemoryTest : public ::testing::Test {
 protected:
  SharedMemoryTest() : key_(0x75000000 | (getpid() & 0xffffff)) {}
  ~SharedMemoryTest() override {
    for (int segment : segments_) shmctl(segment, IPC_RMID, nullptr);
    EXPECT_EQ(held(), Targets{});
  }
  int get(key_t key, int flags) {
    int segment = shmget(key, kBytes, flags | 0600);
    EXPECT_GE(segment, 0);
    segments_.push_back(segment);
    return segment;
  }
  int get_in_child(key_t key, int flags) {
    pid_t child = fork();
    if (!child) _exit(g_real.shmget(key, kBytes, flags | 0600) < 0);
    int status = 1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    return g_real.shmget(key, 0, 0);
  }
  using Targets = std::multiset<std::string>;  // in whatever order the table has them
  Targets held() {
    Targets targets;
    for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
      auto& record = process_.record<HandleRecord>(SectionId::handles, at);
      if (!record.word || ledger::handle_kind(record.word) != Kind::shm) continue;
      EXPECT_EQ(record.bytes, kBytes);
      targets.emplace(record.target);
    }
    return targets;
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  key_t key_;
  std::vector<int> segments_;
};

std::string named(int segment) { return "segment " + std::to_string(segment); }
std::string named(int segment, key_t key) {
  char text[64];
  snprintf(text, sizeof text, "segment %d, key 0x%x", segment, static_cast<unsigned>(key));
  return text;
}

TEST_F(SharedMemoryTest, APrivateOneIsNew) {
  int first = get(IPC_PRIVATE, 0), second = get(IPC_PRIVATE, IPC_CREAT);
  EXPECT_EQ(held(), (Targets{named(first), named(second)}));
}

TEST_F(SharedMemoryTest, OneWithAKeyIsNewOnce) {
  int segment = get(key_, IPC_CREAT);
  for (int flags : {IPC_CREAT, 0}) EXPECT_EQ(shmget(key_, kBytes, flags), segment);
  EXPECT_EQ(held(), Targets{named(segment, key_)});
  EXPECT_LT(shmget(key_, kBytes, IPC_CREAT | IPC_EXCL), 0);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(held(), Targets{named(segment, key_)});
}

TEST_F(SharedMemoryTest, OneThatMustNotHaveBeenThereIsNew) {
  int segment = get(key_, IPC_CREAT | IPC_EXCL);
  EXPECT_EQ(held(), Targets{named(segment, key_)});
}

TEST_F(SharedMemoryTest, OneThatAnotherProcessHasMadeIsNotItsOwn) {
  int segment = get_in_child(key_, IPC_CREAT | IPC_EXCL);
  for (int flags : {IPC_CREAT, 0}) EXPECT_EQ(get(key_, flags), segment);
  EXPECT_EQ(held(), Targets{});
}

TEST_F(SharedMemoryTest, OneIsHeldUntilItIsRemoved) {
  int segment = get(IPC_PRIVATE, 0);
  shmid_ds about{};
  EXPECT_EQ(shmctl(segment, IPC_STAT, &about), 0);
  EXPECT_EQ(held(), Targets{named(segment)});
  EXPECT_EQ(shmctl(segment, IPC_RMID, nullptr), 0);
  EXPECT_EQ(held(), Targets{});
  segments_.clear();
}

TEST_F(SharedMemoryTest, AnAttachmentIsHeldUntilItIsDetached) {
  int segment = get(IPC_PRIVATE, 0);
  void* first = shmat(segment, nullptr, 0);
  void* second = shmat(segment, nullptr, SHM_RDONLY);
  std::string attachment = "attachment of " + named(segment);
  EXPECT_EQ(held(), (Targets{named(segment), attachment, attachment}));
  EXPECT_EQ(shmat(segment, first, SHM_REMAP), first) << "it takes the place of the first one";
  EXPECT_EQ(held().size(), 3u);
  EXPECT_LT(shmdt(static_cast<char*>(first) + 1), 0);
  EXPECT_EQ(held().size(), 3u);
  EXPECT_EQ(shmdt(first), 0);
  EXPECT_EQ(shmdt(second), 0);
  EXPECT_EQ(held(), Targets{named(segment)});
  EXPECT_EQ(shmat(-1, nullptr, 0), reinterpret_cast<void*>(-1));
  EXPECT_EQ(held(), Targets{named(segment)});
}

}  // namespace
}  // namespace unfreed::hook
