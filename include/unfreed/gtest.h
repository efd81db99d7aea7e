/**
 * @file gtest.h
 * @brief GoogleTest: the test that leaks fails. Include it in one source file of the test program, or in several.
 *
 * A test fails if it leaves descriptors, threads, children, timers or shared memory behind, or loses heap blocks
 * (unfreed::test_kinds()), between the construction of its fixture and the end of TearDown(). One that has failed or
 * was skipped is not looked at: it may have had no chance to release anything. Without the preloaded runtime nothing
 * happens.
 */
#ifndef UNFREED_GTEST_H
#define UNFREED_GTEST_H

#include <gtest/gtest.h>
#include <unfreed/test_leaks.h>

namespace unfreed {

class GoogleTestListener : public ::testing::EmptyTestEventListener {
 public:
  /** Adds one to the test program, which owns it; from the second call on does nothing. @return true. */
  static bool install() {
    static const bool is_installed = [] {
      ::testing::UnitTest::GetInstance()->listeners().Append(new GoogleTestListener);
      return true;
    }();
    return is_installed;
  }

  void OnTestStart(const ::testing::TestInfo&) override { leaks_ = TestLeaks(); }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.result()->Passed()) return;
    for (const TestLeak& leak : leaks_.leaks()) {
      const char* file = leak.file.empty() ? test.file() : leak.file.c_str();
      int line = leak.file.empty() ? test.line() : static_cast<int>(leak.line);
      ADD_FAILURE_AT(file, line) << "the test leaks " << leak.text;
    }
  }

 private:
  TestLeaks leaks_;
};

namespace {
const bool unfreed_is_listening __attribute__((unused)) = GoogleTestListener::install();
}  // namespace

}  // namespace unfreed

#endif  // UNFREED_GTEST_H
