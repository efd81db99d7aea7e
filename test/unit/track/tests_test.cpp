// Which test runs, as pytest says in the environment.
#include "track/tests.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ledger/view.h"
#include "support/tracked_process.h"
#include "track/epochs.h"

namespace unfreed::track {
namespace {

using ledger::SectionId;
using ledger::TestRecord;

class TestsTest : public ::testing::Test {
 protected:
  TestsTest() {
    // There is one table for the process: a restart leaves what it has.
    g_tracker.heap_use = HeapUse::every_block;
    restart_tests();
    first_ = count();
  }
  static uint64_t count() { return g_tracker.writer.section(SectionId::tests).count.load(); }
  static const TestRecord& at(uint64_t index) { return *g_tracker.writer.at<TestRecord>(SectionId::tests, index); }
  static std::string name_of(uint64_t index) {
    return at(index).name ? g_tracker.writer.at<char>(SectionId::strings, at(index).name) : "";
  }
  /// Of all records that this test has made, in their order; "" where no test ran.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (uint64_t index = first_; index < count(); ++index) names.push_back(name_of(index));
    return names;
  }
  using Names = std::vector<std::string>;

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  uint64_t first_ = 0;
};

TEST_F(TestsTest, OneBeginsWithItsFirstPhaseAndEndsWhenTheVariableIsRemovedAfterTheLast) {
  test_begins("a.py::test_x (setup)");
  test_begins("a.py::test_x (call)");
  EXPECT_EQ(names(), (Names{"a.py::test_x"}));
  test_may_end();
  EXPECT_EQ(names(), (Names{"a.py::test_x"})) << "the test itself has removed it";
  test_begins("a.py::test_x (teardown)");
  test_may_end();
  test_may_end();
  EXPECT_EQ(names(), (Names{"a.py::test_x", ""}));
  test_begins("a.py::test_x (setup)");
  test_begins("a.py::test_y (setup)");
  EXPECT_EQ(names(), (Names{"a.py::test_x", "", "a.py::test_x", "a.py::test_y"}));
}

TEST_F(TestsTest, NamesAreKeptAsTheyAre) {
  for (const char* name : {"t[(call)]", "t[a (setup)]", "t", "t (call", "(teardown)", "t [teardown)", "\xff\xfe é"}) {
    test_begins((std::string(name) + " (call)").c_str());
    EXPECT_EQ(names().back(), name);
    test_begins(name);
  }
  test_begins("");
  test_begins(" (call)");
  test_begins(nullptr);
  EXPECT_NE(names().back(), "");
}

TEST_F(TestsTest, LongNamesAreCutBetweenCharactersAndKnownAgain) {
  std::string start(479, 'a');
  test_begins((start + "éé (setup)").c_str());
  test_begins((start + "éé (call)").c_str());
  EXPECT_EQ(names(), (Names{start + "…"}));
  std::string fits(480, 'b');
  test_begins((fits + " (setup)").c_str());
  test_begins((fits + " (call)").c_str());
  EXPECT_EQ(names().back(), fits);
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(TestsTest, HeapBlocksAreOfTheTestInWhoseEpochsTheyAreBorn) {
  uint32_t before = g_tracker.heap_epoch.load();
  test_begins("x (setup)");
  uint32_t in_x = g_tracker.heap_epoch.load();
  uint32_t later_in_x = open_epoch();
  test_begins("x (teardown)");
  test_may_end();
  uint32_t after = g_tracker.heap_epoch.load();
  test_begins("y (setup)");
  uint32_t in_y = g_tracker.heap_epoch.load();
  EXPECT_EQ(test_of_epoch(in_x), first_ + 1);
  EXPECT_EQ(test_of_epoch(later_in_x), first_ + 1);
  EXPECT_EQ(test_of_epoch(after), 0u);
  EXPECT_EQ(test_of_epoch(in_y), first_ + 3);
  EXPECT_NE(test_of_epoch(before), first_ + 1);
  EXPECT_EQ(test_of_epoch(kLastEpoch), 0u) << "which does not end";
}

TEST_F(TestsTest, AForkChildRunsWithinTheTestOfItsParent) {
  test_begins("x (call)");
  restart_tests();
  EXPECT_STREQ(g_tracker.writer.at<char>(SectionId::strings, g_tracker.writer.header().test), "x");
  // Its own tests are new.
  test_begins("x (call)");
  EXPECT_EQ(names(), (Names{"x", "x"}));
}

TEST_F(TestsTest, NeitherAVforkChildNorAnUntrackedProcessNamesATest) {
  test_begins("x (teardown)");
  {
    test::Untracked untracked;
    test_begins("y (call)");
    test_may_end();
  }
  enter_vfork_child();
  t_local.lender_tid = 1;
  test_begins("y (call)");
  test_may_end();
  t_local.lender_tid = base::current_tid();
  back_from_vfork_child();
  EXPECT_EQ(names(), Names{"x"});
}

TEST_F(TestsTest, OnlyThatVariableNamesATest) {
  for (const char* name : {"", "P", "PY", "PYTEST_CURRENT_TES", "PYTEST_CURRENT_TEST2", "PYTEST_CURRENT_TEST2=a", "="})
    EXPECT_FALSE(names_test(name)) << name;
  EXPECT_TRUE(names_test("PYTEST_CURRENT_TEST"));
  EXPECT_TRUE(names_test("PYTEST_CURRENT_TEST=a=b"));
  EXPECT_STREQ(value_of_test("PYTEST_CURRENT_TEST=a=b"), "a=b");
  EXPECT_EQ(value_of_test("PYTEST_CURRENT_TEST"), nullptr);
}

TEST_F(TestsTest, TheLastRecordIsKeptForSayingThatNoTestRuns) {
  ledger::Section& table = g_tracker.writer.section(SectionId::tests);
  uint64_t room = table.capacity;
  table.capacity = table.count + 3;
  for (const char* name : {"first", "second", "third", "fourth"}) test_begins(name);
  EXPECT_EQ(names(), (Names{"first", "second", ""}));
  table.capacity = room;
}

// The last one: it fills the table.
TEST_F(TestsTest, WhenTheTableIsFullNoTestIsNamedAndTheReportSaysSo) {
  const ledger::Header& header = g_tracker.writer.header();
  auto& dropped = header.dropped[static_cast<size_t>(ledger::Dropped::tests_full)];
  uint64_t before = dropped.load();
  std::string name(400, 'n');
  for (int i = 0; i < 3000 && dropped.load() == before; ++i) test_begins((name + std::to_string(i)).c_str());
  EXPECT_EQ(dropped.load(), before + 1);
  EXPECT_EQ(names().back(), "") << "what follows is not the last test's";
  uint64_t count_then = count();
  test_begins("one more");
  EXPECT_EQ(dropped.load(), before + 2);
  EXPECT_EQ(count(), count_then);
}

}  // namespace
}  // namespace unfreed::track
