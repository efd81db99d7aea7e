/**
 * @file doctest.h
 * @brief doctest: the test case that leaks fails. Include it in one source file of the test program, or in several.
 *
 * A test case fails if it leaves descriptors, threads, children, timers or shared memory behind, or loses heap blocks
 * (unfreed::test_kinds()). One that has failed is not looked at: it may have had no chance to release anything. Without
 * the preloaded runtime nothing happens. (doctest's JUnit reporter leaves all messages out, these as well.)
 */
#ifndef UNFREED_DOCTEST_H
#define UNFREED_DOCTEST_H

#include <doctest/doctest.h>
#include <unfreed/test_leaks.h>

namespace unfreed {

/**
 * doctest settles a test case before it calls test_case_end(), and offers no later moment to fail it. So the numbers
 * that it passes to listeners, before any reporter, are corrected: they are parts of its own, writable state.
 */
class DoctestListener : public ::doctest::IReporter {
 public:
  explicit DoctestListener(const ::doctest::ContextOptions&) {}

  void test_run_start() override { failed_ = 0; }
  void test_case_start(const ::doctest::TestCaseData& test) override {
    test_ = &test;
    leaks_ = TestLeaks();
  }
  void test_case_end(const ::doctest::CurrentTestCaseStats& stats) override {
    bool may_fail = test_->m_may_fail || test_->m_should_fail || test_->m_expected_failures > 0;
    if (stats.failure_flags != 0 || may_fail) return;
    std::vector<TestLeak> leaks = leaks_.leaks();
    if (leaks.empty()) return;
    for (const TestLeak& leak : leaks) {
      const char* file = leak.file.empty() ? test_->m_file.c_str() : leak.file.c_str();
      int line = leak.file.empty() ? static_cast<int>(test_->m_line) : static_cast<int>(leak.line);
      DOCTEST_ADD_FAIL_CHECK_AT(file, line, "the test leaks " << ::doctest::String(leak.text.c_str()));
    }
    auto& changed = const_cast<::doctest::CurrentTestCaseStats&>(stats);
    changed.numAssertsCurrentTest += static_cast<int>(leaks.size());
    changed.numAssertsFailedCurrentTest += static_cast<int>(leaks.size());
    changed.failure_flags |= ::doctest::TestCaseFailureReason::AssertFailure;
    changed.testCaseSuccess = false;
    failed_asserts_ += static_cast<int>(leaks.size());
    ++failed_;
  }
  void test_run_end(const ::doctest::TestRunStats& stats) override {
    auto& changed = const_cast<::doctest::TestRunStats&>(stats);
    changed.numTestCasesFailed += failed_;
    changed.numAsserts += failed_asserts_;
    changed.numAssertsFailed += failed_asserts_;
  }

  void report_query(const ::doctest::QueryData&) override {}
  void test_case_reenter(const ::doctest::TestCaseData&) override {}
  void test_case_exception(const ::doctest::TestCaseException&) override {}
  void subcase_start(const ::doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const ::doctest::AssertData&) override {}
  void log_message(const ::doctest::MessageData&) override {}
  void test_case_skipped(const ::doctest::TestCaseData&) override {}

 private:
  const ::doctest::TestCaseData* test_ = nullptr;
  TestLeaks leaks_;
  unsigned failed_ = 0;
  int failed_asserts_ = 0;
};

}  // namespace unfreed

DOCTEST_REGISTER_LISTENER("unfreed", 1, unfreed::DoctestListener);

#endif  // UNFREED_DOCTEST_H
