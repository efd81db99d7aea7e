// How much of a file system ledgers leave to others.
#include "ledger/room.h"

#include <gtest/gtest.h>

#include "base/syscall.h"
#include "base/unique_fd.h"
#include "support/ledger_folder.h"

namespace unfreed::ledger {
namespace {

constexpr uint64_t kKib = 1024, kMib = 1024 * kKib;

struct statfs of_size(uint64_t bytes, uint64_t free) {
  struct statfs status {};
  status.f_bsize = 4096;
  status.f_blocks = bytes / 4096;
  status.f_bavail = free / 4096;
  return status;
}

TEST(Room, AnEighthStaysFree) {
  EXPECT_TRUE(leaves_room(of_size(64 * kMib, 10 * kMib), 2 * kMib));
  EXPECT_FALSE(leaves_room(of_size(64 * kMib, 10 * kMib), 2 * kMib + 4 * kKib));
}

TEST(Room, AtLeastAMebibyteStaysFree) {
  EXPECT_TRUE(leaves_room(of_size(2 * kMib, kMib + 64 * kKib), 64 * kKib));
  EXPECT_FALSE(leaves_room(of_size(2 * kMib, kMib + 60 * kKib), 64 * kKib));
  EXPECT_FALSE(leaves_room(of_size(kMib, kMib), 4 * kKib));
}

TEST(Room, NoMoreThanNeedBeStaysFreeInALargeOne) {
  EXPECT_TRUE(leaves_room(of_size(32 * 1024 * kMib, 17 * kMib), kMib));
  EXPECT_FALSE(leaves_room(of_size(32 * 1024 * kMib, 16 * kMib), 4 * kKib));
}

TEST(Room, WithoutALimitThereIsAlwaysSome) { EXPECT_TRUE(leaves_room(of_size(0, 0), 64 * kMib)); }

TEST(Room, FilesStayFreeToo) {
  struct statfs status = of_size(64 * kMib, 64 * kMib);
  status.f_files = 1000;
  status.f_ffree = 64;
  EXPECT_TRUE(leaves_room(status, kMib));
  status.f_ffree = 63;
  EXPECT_FALSE(leaves_room(status, kMib));
}

class RoomOfProcess : public test::LedgerFolderTest {};

TEST_F(RoomOfProcess, IsAskedForAgain) {
  base::UniqueFd file(base::open_file(path("ledger").c_str(), O_RDWR | O_CREAT, 0600));
  struct statfs status {};
  ASSERT_EQ(fstatfs(static_cast<int>(file.get()), &status), 0);
  uint64_t all = status.f_bavail * static_cast<uint64_t>(status.f_bsize);
  Room room;
  ASSERT_TRUE(room.begin(file.get(), folder_.c_str(), 64 * kKib));
  for (int piece = 0; piece < 100; ++piece) EXPECT_TRUE(room.take(16 * kKib));
  EXPECT_FALSE(room.take(all + (uint64_t{1} << 40)));
  EXPECT_TRUE(room.take(4 * kKib)) << "a large piece that is refused takes nothing away";
  EXPECT_FALSE(room.begin(file.get(), folder_.c_str(), all + (uint64_t{1} << 40)));
}

TEST_F(RoomOfProcess, IsUnknownWhereTheFolderIsAnother) {
  base::UniqueFd file(base::open_file(path("ledger").c_str(), O_RDWR | O_CREAT, 0600));
  Room room;
  ASSERT_TRUE(room.begin(file.get(), "/nowhere", 4 * kKib));
  EXPECT_TRUE(room.take(uint64_t{1} << 50));
  ASSERT_TRUE(room.begin(file.get(), "/proc", 4 * kKib));
  EXPECT_TRUE(room.take(uint64_t{1} << 50));
}

}  // namespace
}  // namespace unfreed::ledger
