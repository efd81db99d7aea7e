// Which test acquired what a site holds.
#include <gtest/gtest.h>

#include <string>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using ledger::SectionId;
using test::Evaluated;

class TestsTest : public ::testing::Test {
 protected:
  uint32_t site(Kind kind) { return builder_.site(kind, 1, builder_.stack({{module_, 0x100 * ++sites_}})); }
  /// A test that began when so many objects had been acquired.
  void test_begins(std::string_view name, uint32_t last_serial) {
    uint64_t index = 0;
    auto* record = builder_.writer().append<ledger::TestRecord>(SectionId::tests, index);
    ASSERT_TRUE(record);
    record->name = builder_.text(name);
    record->last_serial = last_serial;
    record->is_valid = 1;
  }
  /// The tests of the only listed site: "name 1+2 3 B", live, running and bytes.
  std::string shares() {
    input_.all_sites = true;
    Evaluated report(builder_, input_);
    EXPECT_EQ(report->sites.size(), 1u);
    std::string all;
    for (const TestShare& one : report->sites[0].tests)
      all += std::string(one.test) + " " + std::to_string(one.live) + "+" + std::to_string(one.running) +
             (one.bytes ? " " + std::to_string(one.bytes) + " B; " : "; ");
    omitted_ = report->sites[0].tests_omitted;
    others_ = report->sites[0].other_tests;
    return all;
  }

  test::LedgerBuilder builder_;
  ReportInput input_;
  uint32_t module_ = builder_.module("/bin/program");
  uint32_t sites_ = 0;
  uint64_t omitted_ = 0;
  std::optional<TestShare> others_;
};

TEST_F(TestsTest, WhatWasAcquiredAfterATestBeganIsItsOwnUntilTheNextBegins) {
  uint32_t at = site(Kind::fd);
  for (uint32_t fd = 3; fd < 9; ++fd) builder_.open_fd(fd, FdOrigin::acquired, at, "/tmp/file");
  auto serial = [&](uint32_t fd) {
    return ledger::fd_serial(builder_.writer().at<ledger::FdRecord>(SectionId::fds, fd)->word.load());
  };
  test_begins("first", serial(3));
  test_begins("empty", serial(5));
  test_begins("second", serial(5));
  test_begins("", serial(8) - 1);
  EXPECT_EQ(shares(), "first 2+0; second 2+0; ") << "the first and the last were acquired between tests";
  EXPECT_EQ(omitted_, 0u);
  EXPECT_FALSE(others_);
}

TEST_F(TestsTest, RunningThreadsAreCountedApart) {
  uint32_t at = site(Kind::thread);
  test_begins("one", 0);
  builder_.thread(at, ledger::ThreadState::running);
  builder_.thread(at, ledger::ThreadState::running);
  builder_.thread(at, ledger::ThreadState::finished);
  EXPECT_EQ(shares(), "one 1+2; ");
}

TEST_F(TestsTest, ChildrenThatEndedAreLiveAndOfTheOthersThoseThatRunAreRunning) {
  uint32_t at = site(Kind::child);
  test_begins("one", 0);
  for (int32_t pid = 601; pid < 605; ++pid) builder_.child(at, pid);
  EXPECT_EQ(shares(), "") << "which of them have ended is not known";
  builder_.kernel_task(601, true, 'Z');
  for (int32_t pid = 602; pid < 605; ++pid) builder_.kernel_task(pid, true, 'S');
  EXPECT_EQ(shares(), "one 1+3; ");
}

TEST_F(TestsTest, BlocksAreTheTestsThatTheirAgesName) {
  uint32_t at = site(Kind::heap);
  builder_.blocks(at, 10, 0, 1000, 0);
  test_begins("one", 0);
  test_begins("two", 0);
  auto blocks = [&](uint32_t test, uint32_t count, uint64_t bytes) {
    uint64_t index = 0;
    auto* age = builder_.writer().append<ledger::HeapAge>(SectionId::heap_ages, index);
    ASSERT_TRUE(age);
    age->site = at;
    age->test = test;
    age->blocks = count;
    age->bytes = bytes;
  };
  blocks(1, 2, 200);
  blocks(2, 3, 30);
  blocks(0, 4, 400);
  blocks(99, 1, 70);
  blocks(1, 1, 50);
  EXPECT_EQ(shares(), "") << "ages are those of the last grading";
  builder_.header().grading = static_cast<uint32_t>(ledger::Grading::done);
  EXPECT_EQ(shares(), "one 3+0 250 B; two 3+0 30 B; ") << "no test's, and an unknown one's, are left out";
}

TEST_F(TestsTest, Of65TestsTheOneWithTheLeastIsNotNamed) {
  uint32_t at = site(Kind::thread);
  for (int test = 0; test < 65; ++test) {
    test_begins("test" + std::to_string(test), builder_.writer().section(SectionId::threads).count);
    builder_.thread(at, ledger::ThreadState::finished);
    if (test != 7) builder_.thread(at, ledger::ThreadState::finished);
  }
  std::string names = shares();
  EXPECT_EQ(names.find("test7 "), std::string::npos);
  EXPECT_NE(names.find("test64 2+0"), std::string::npos);
  EXPECT_EQ(omitted_, 1u);
  ASSERT_TRUE(others_);
  EXPECT_EQ(others_->live, 1u);
}

TEST_F(TestsTest, AProcessThatRunsOneTestIsThatTests) {
  auto test_of = [&](std::string_view argument) {
    std::string all = std::string("program\0", 8) + std::string(argument) + '\0';
    builder_.header().argv = builder_.text(all);
    builder_.header().argv_count = 2;
    return std::string(Evaluated(builder_)->process.test);
  };
  EXPECT_EQ(test_of("--gtest_filter=Suite.Case"), "Suite.Case");
  EXPECT_EQ(test_of("--gtest_filter=Suite.*"), "");
  EXPECT_EQ(test_of("--gtest_filter=A.b:A.c"), "");
  EXPECT_EQ(test_of("--gtest_filter=-A.b"), "");
  EXPECT_EQ(test_of("--gtest_filter=Suite"), "");
  EXPECT_EQ(test_of("--filter=Suite.Case"), "");
  builder_.header().test = builder_.text("named by its variable");
  EXPECT_EQ(test_of("--gtest_filter=Suite.Case"), "named by its variable");
}

/// What remains of a site's tests when a selection has left out some of its objects.
class TakeTestsTest : public ::testing::Test {
 protected:
  TestShare& share(std::string_view test, uint64_t live, uint64_t running = 0, uint64_t bytes = 0) {
    TestShare& one = *site_.tests.add(arena_);
    one = {test, live, running, bytes};
    site_.live += live;
    site_.running += running;
    return one;
  }
  void object(std::string_view test, std::string_view state = {}, uint64_t bytes = 0) {
    Object& one = *site_.objects.add(arena_);
    one.test = test;
    one.state = state;
    if (bytes) one.bytes = bytes;
  }
  std::string names() const {
    std::string all;
    for (const TestShare& one : site_.tests)
      all += std::string(one.test) + " " + std::to_string(one.live) + "+" + std::to_string(one.running) + " " +
             std::to_string(one.bytes) + "; ";
    return all;
  }

  base::Arena arena_;
  Site site_;
};

TEST_F(TakeTestsTest, WhereAllObjectsAreListedTheyAreCountedAnew) {
  share("gone", 5);
  share("less", 5, 1, 50);
  share("more", 2);
  object("less", {}, 7);
  object("more");
  object("more");
  object("more", "running");
  object("more", "unknown");
  object("another's");
  site_.take_tests(true, 12);
  EXPECT_EQ(names(), "more 2+1 0; less 1+0 7; ");
}

TEST_F(TakeTestsTest, WhereNotAllAreListedTheTestsStayOnlyIfTheNumberDoes) {
  share("one", 5, 2);
  site_.other_tests = TestShare{{}, 3, 1, 0};
  object("one");
  site_.take_tests(false, 5);
  EXPECT_EQ(names(), "one 5+2 0; ");
  EXPECT_EQ(site_.other_tests->running, 1u);
  site_.tests_omitted = 4;
  site_.live = 3;
  site_.take_tests(false, 5);
  EXPECT_EQ(names(), "");
  EXPECT_FALSE(site_.other_tests);
  EXPECT_EQ(site_.tests_omitted, 0u);
}

TEST_F(TakeTestsTest, WhereRunningOnesAreLeftOutNoTestHasAny) {
  share("one", 5, 2);
  share("runs only", 0, 2);
  site_.other_tests = TestShare{{}, 3, 1, 0};
  site_.running = 0;
  site_.take_tests(false, 5);
  EXPECT_EQ(names(), "one 5+0 0; ");
  EXPECT_EQ(site_.other_tests->running, 0u);
  EXPECT_EQ(site_.other_tests->live, 3u);
}

}  // namespace
}  // namespace unfreed::report
