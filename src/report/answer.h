// The exit status by which a process that makes a report for another (`unfreed finish`, or the copy that the runtime
// makes of its process) returns the result. Any other status means that it failed.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace unfreed::report {

enum class Verdict : uint8_t {
  passed = 0,  ///< no rule is broken
  broken = 1,
  unchecked = 2,  ///< none is broken, as far as they could be checked
};

struct Answer {
  Verdict verdict = Verdict::passed;
  bool written = false;
};

constexpr int to_status(Answer answer) {
  constexpr int kFirst = 64;  // apart from what shells, loaders and this program itself end with
  return kFirst + static_cast<int>(answer.verdict) * 2 + (answer.written ? 1 : 0);
}

/// False: the status is no answer.
constexpr bool from_status(int status, Answer& out) {
  for (Verdict verdict : {Verdict::passed, Verdict::broken, Verdict::unchecked})
    for (bool written : {false, true})
      if (Answer answer{verdict, written}; to_status(answer) == status) {
        out = answer;
        return true;
      }
  return false;
}

}  // namespace unfreed::report
