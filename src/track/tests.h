// Which test runs, as pytest says in the environment: "PYTEST_CURRENT_TEST=tests/test_a.py::test_x (call)", set anew
// before each of its phases (setup, call, teardown) and removed after the last. What is acquired from then on, by
// whatever thread, was acquired while that test ran. The order of acquisitions tells, not a clock: their serials, and
// the birth epochs of heap blocks.
//
//     environment   test_x (setup)  test_x (call)  test_x (teardown)  removed  test_y (setup)
//     TestRecord    test_x                                            none     test_y
//     serial          7                                                 12       12              8 … 12 are test_x's
//
// Thread-safe; async-signal-safe, though the functions that change the environment are not.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::track {

inline constexpr std::string_view kTestVariable = "PYTEST_CURRENT_TEST";

/// Does `name`, or an assignment "NAME=value", name that variable?
inline bool names_test(const char* name) {
  if (name[0] != kTestVariable[0] || name[1] != kTestVariable[1]) [[likely]]
    return false;
  std::string_view text(name);
  return text.starts_with(kTestVariable) && (text.size() == kTestVariable.size() || text[kTestVariable.size()] == '=');
}
/// Of an assignment that does; nullptr where it has no '='.
inline const char* value_of_test(const char* assignment) {
  const char* end = assignment + kTestVariable.size();
  return *end == '=' ? end + 1 : nullptr;
}

/// The variable has that value from now on.
void test_begins(const char* value);
/// It was removed: the test has ended if that was its last phase. (Tests remove variables, too: for a time, all.)
void test_may_end();

/// The process was started while a test ran that somebody else runs: the variable's value, "" if there is none.
void start_tests(std::string_view value);
/// In a fork child, which runs within the test of its parent.
void restart_tests();

/// The test in which blocks of that birth epoch were allocated: TestRecord's index + 1; 0: in none, or it is not known.
uint32_t test_of_epoch(uint32_t epoch);

}  // namespace unfreed::track
