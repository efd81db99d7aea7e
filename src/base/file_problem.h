// Why a file could not be read or written: a sentence's end, made without allocation, the same in the library and in
// the command.
#pragma once

#include "base/text.h"

namespace unfreed::base {

struct FileProblem {
  const char* what = nullptr;  ///< static text, "is not a regular file"; nullptr: `error` says it
  int error = 0;               ///< errno
  explicit operator bool() const { return what || error; }
};

/// From a system call's result: −errno.
inline FileProblem failed(long result) { return {nullptr, static_cast<int>(-result)}; }

/// What an errno means, in strerror's words (which may allocate, and speaks the user's language); "error 71" where it
/// is a rare one.
void add_error(TextBuilder& out, int error);

inline void add_problem(TextBuilder& out, const FileProblem& problem) {
  if (problem.what)
    out.add(problem.what);
  else
    add_error(out, problem.error);
}

}  // namespace unfreed::base
