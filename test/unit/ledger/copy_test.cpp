#include "ledger/copy.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "base/own_memory.h"
#include "support/ledger_builder.h"

namespace unfreed::ledger {
namespace {

using test::LedgerBuilder;

class CopyTest : public ::testing::Test {
 protected:
  Section& section(SectionId id) { return builder_.header().sections[static_cast<size_t>(id)]; }
  CopyTest() {
    char name[] = "/tmp/unfreed-copy-XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~CopyTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const char* name = "ledger") const { return directory_ + "/" + name; }
  CopyError load(const char* name = "ledger") { return copy_.load(path(name).c_str()); }

  std::string directory_;
  LedgerBuilder builder_;
  Copy copy_;
};

TEST_F(CopyTest, HoldsWhatTheFileHeld) {
  uint32_t module = builder_.module("/lib/a.so");
  uint32_t site = builder_.site(Kind::fd, 0, builder_.stack({{module, 7}, {module, 9}}));
  builder_.table_fd(5, FdOrigin::acquired, site);
  builder_.chunk(site).cells[site].acquired = 12;
  builder_.save(path());
  ASSERT_FALSE(load());
  const View& view = copy_.view();
  EXPECT_EQ(view.header().pid, 4242);
  EXPECT_EQ(view.text(view.module(module)->path), "/lib/a.so");
  const Node* nodes[4];
  EXPECT_EQ(view.stack(view.site(site)->node, nodes), 2u);
  EXPECT_EQ(fd_site(view.fd(5)->word), site);
  Counts counts[2];
  EXPECT_TRUE(view.sum_counts(counts));
  EXPECT_EQ(counts[site].acquired, 13u);
}

TEST_F(CopyTest, CanBeAddedTo) {
  builder_.save(path());
  ASSERT_FALSE(load());
  uint64_t index = 0;
  ASSERT_NE(copy_.writer().append<KernelFd>(SectionId::kernel_fds, index), nullptr);
  StringRef ref = copy_.writer().add_text("added");
  EXPECT_EQ(copy_.view().text(ref), "added");
  EXPECT_EQ(copy_.view().kernel_fd_count(), 1u);
}

TEST_F(CopyTest, LeavesHolesAlone) {
  builder_.table_fd(3, FdOrigin::inherited);
  builder_.table_fd(100'000, FdOrigin::inherited);
  int file = open(path().c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(builder_.bytes().size())), 0);
  for (uint64_t offset : {uint64_t{0}, section(SectionId::fds).offset,
                          section(SectionId::fds).offset + 100'000 * sizeof(FdRecord) / kPageBytes * kPageBytes})
    ASSERT_EQ(pwrite(file, builder_.bytes().data() + offset, kPageBytes, static_cast<off_t>(offset)),
              static_cast<ssize_t>(kPageBytes));
  close(file);
  ASSERT_FALSE(load());
  EXPECT_EQ(fd_origin(copy_.view().fd(3)->word), FdOrigin::inherited);
  EXPECT_EQ(fd_origin(copy_.view().fd(100'000)->word), FdOrigin::inherited);
  unsigned char resident[1];
  auto* middle = const_cast<std::byte*>(reinterpret_cast<const std::byte*>(copy_.view().fd(50'000)));
  void* page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(middle) / kPageBytes * kPageBytes);
  ASSERT_EQ(mincore(page, kPageBytes, resident), 0);
  EXPECT_EQ(resident[0] & 1, 0);
}

TEST_F(CopyTest, ForgedCountsAreCutToWhatFits) {
  for (Section& section : builder_.header().sections) section.count = section.capacity;
  section(SectionId::strings).count = UINT64_MAX - 2;
  int file = open(path().c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(file, static_cast<off_t>(builder_.bytes().size())), 0);
  ASSERT_EQ(pwrite(file, builder_.bytes().data(), kPageBytes, 0), static_cast<ssize_t>(kPageBytes));
  close(file);
  ASSERT_FALSE(load());
  EXPECT_EQ(copy_.view().text_bytes(), section(SectionId::strings).capacity);
  EXPECT_EQ(copy_.writer().add_text("no room for this"), 0u);
}

TEST_F(CopyTest, LinksAndOddFilesAreRefused) {
  builder_.save(path());
  std::filesystem::create_symlink(path(), path("link"));
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
  std::filesystem::create_directory(path("directory"));
  EXPECT_STREQ(load("link").message, "is a symbolic link; ledgers are not read through links");
  EXPECT_STREQ(load("fifo").message, "is not a regular file");
  EXPECT_STREQ(load("directory").message, "is not a regular file");
  CopyError missing = load("missing");
  EXPECT_STREQ(missing.message, "cannot be opened");
  EXPECT_EQ(missing.error, ENOENT);
  EXPECT_STREQ(copy_.load("/dev/null").message, "is not a regular file");
  EXPECT_FALSE(copy_);
}

TEST_F(CopyTest, TruncatedAndOversizedFilesAreRefused) {
  builder_.save(path());
  ASSERT_EQ(truncate(path().c_str(), static_cast<off_t>(builder_.bytes().size() / 2)), 0);
  EXPECT_TRUE(load());
  ASSERT_EQ(truncate(path().c_str(), 100), 0);
  EXPECT_STREQ(load().message, "is too short to be a ledger");
  ASSERT_EQ(truncate(path().c_str(), 0), 0);
  EXPECT_STREQ(load().message, "is too short to be a ledger");
  ASSERT_EQ(truncate(path().c_str(), off_t{1} << 40), 0);
  EXPECT_STREQ(load().message, "is too large to be a ledger");
  ASSERT_EQ(truncate(path().c_str(), kPageBytes), 0);
  EXPECT_STREQ(load().message, "not a ledger");
}

TEST_F(CopyTest, AFullSizeLedgerIsWithinTheLimit) {
  Header header{};
  lay_out(header, 8);
  EXPECT_LT(header.file_bytes, Copy::kMaxFileBytes);
}

TEST_F(CopyTest, AFoldLeftUnfinishedStaysVisible) {
  builder_.header().fold_sequence = 5;
  builder_.save(path());
  ASSERT_FALSE(load());
  Counts counts[1];
  EXPECT_FALSE(copy_.view().sum_counts(counts));
}

/// As where the ledgers of several processes are read again and again, while a copy is kept.
TEST_F(CopyTest, CopiesOfSeveralSizesUseNoMoreAndMoreAddresses) {
  builder_.save(path());
  for (auto [name, pages] : {std::pair{"larger", 16}, std::pair{"largest", 64}}) {
    std::filesystem::copy_file(path(), path(name));
    std::filesystem::resize_file(path(name), std::filesystem::file_size(path()) + pages * kPageBytes);
  }
  uintptr_t first = base::own_addresses(0);
  constexpr int kTurns = 50;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (const char* name : {"ledger", "larger", "largest"}) {
      Copy next;
      ASSERT_FALSE(next.load(path(name).c_str()));
      copy_ = std::move(next);
    }
  }
  constexpr uint64_t kMostAtOnce = 3;
  EXPECT_LE(base::own_addresses(0) - first, kMostAtOnce * std::filesystem::file_size(path("largest")));
}

TEST_F(CopyTest, MovesKeepTheView) {
  builder_.save(path());
  ASSERT_FALSE(load());
  Copy other = std::move(copy_);
  EXPECT_FALSE(copy_);
  EXPECT_EQ(other.view().header().pid, 4242);
  copy_ = std::move(other);
  EXPECT_EQ(copy_.view().header().pid, 4242);
}

}  // namespace
}  // namespace unfreed::ledger
