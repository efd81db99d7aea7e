// What the coverage of each kind says where code bypasses the hooks.
#include "track/blind_spots.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <string>
#include <thread>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::Coverage;
using ledger::Kind;

class BlindSpotsTest : public ::testing::Test {
 protected:
  BlindSpotsTest() {
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind) {
      process_.header().coverage[kind] = static_cast<uint8_t>(Coverage::exact);
      process_.header().coverage_reason[kind] = 0;
    }
  }
  /// Of the kinds that are seen in part.
  std::map<Kind, std::string> reasons() {
    std::map<Kind, std::string> all;
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind) {
      const ledger::Header& header = process_.header();
      if (header.coverage[kind] == static_cast<uint8_t>(Coverage::exact)) continue;
      EXPECT_EQ(header.coverage[kind], static_cast<uint8_t>(Coverage::partial));
      all[static_cast<Kind>(kind)] = process_.view().text(header.coverage_reason[kind]);
    }
    return all;
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(BlindSpotsTest, AProgramOfCHasNone) {
  note_go_objects();
  find_absent_parts_of_libc();
  note_late_parts_of_libc();
  EXPECT_FALSE(is_malloc_valgrinds());
  EXPECT_FALSE(has_bypassing_library());
  EXPECT_TRUE(reasons().empty());
}

TEST_F(BlindSpotsTest, ALibraryInANamespaceOfItsOwnBypassesAllHooks) {
  static_assert(ledger::kKindCount < ledger::kKindSlots);
  uint8_t& of_no_kind = process_.header().coverage[ledger::kKindCount];
  of_no_kind = static_cast<uint8_t>(Coverage::exact);
  note_bypassing_library("/usr/lib/plugin.so", true);
  EXPECT_EQ(of_no_kind, static_cast<uint8_t>(Coverage::exact));
  EXPECT_TRUE(has_bypassing_library());
  ASSERT_EQ(reasons().size(), ledger::kKindCount);
  for (const auto& [kind, reason] : reasons())
    EXPECT_EQ(reason, "plugin.so was opened in a namespace of its own (dlmopen): its calls bypass unfreed");
}

TEST_F(BlindSpotsTest, OfALibraryThatFindsLibcFirstUsersLearnWhatHelps) {
  note_bypassing_library("plugin.so", false);
  ASSERT_EQ(reasons().size(), ledger::kKindCount);
  for (const auto& [kind, reason] : reasons())
    EXPECT_EQ(reason,
              "plugin.so was opened with RTLD_DEEPBIND: its calls bypass unfreed, unless the program is run with "
              "--no-deepbind (UNFREED_NO_DEEPBIND=1)");
  note_bypassing_library("other.so", true);
  EXPECT_EQ(reasons()[Kind::fd].find("plugin.so"), 0u) << "the first one stays";
}

TEST_F(BlindSpotsTest, WhatIsNotTrackedStaysSo) {
  process_.header().coverage[static_cast<size_t>(Kind::heap)] = static_cast<uint8_t>(Coverage::partial);
  note_bypassing_library("plugin.so", true);
  EXPECT_EQ(reasons()[Kind::heap], "");
  EXPECT_NE(reasons()[Kind::fd], "");
}

TEST_F(BlindSpotsTest, DescriptorsOfOneThreadAreNotAllOfThem) {
  errno = 7;
  note_unshared_descriptors();
  EXPECT_TRUE(reasons().empty()) << "the only thread's are the process's";
  std::atomic<bool> may_end{false};
  std::thread other([&] {
    while (!may_end) sched_yield();
  });
  {
    test::Untracked untracked;
    note_unshared_descriptors();
  }
  EXPECT_TRUE(reasons().empty());
  note_unshared_descriptors();
  EXPECT_EQ(errno, 7);
  may_end = true;
  other.join();
  ASSERT_EQ(reasons().size(), 1u);
  EXPECT_NE(reasons()[Kind::fd].find("descriptors of its own (unshare)"), std::string::npos);
}

TEST_F(BlindSpotsTest, LibrariesAreOpenedAsTheProgramSaysUnlessItIsAsked) {
  EXPECT_FALSE(is_without_deepbind());
  set_without_deepbind(true);
  EXPECT_TRUE(is_without_deepbind());
  set_without_deepbind(false);
  EXPECT_FALSE(is_without_deepbind());
}

}  // namespace
}  // namespace unfreed::track
