// Why a file could not be read or written: the end of a sentence, made without allocation, the same in the library and
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

/// An errno in strerror's words (which itself may allocate, and uses the user's language); "error 71" for a rare
/// one.
void add_error(TextBuilder& out, int error);

inline void add_problem(TextBuilder& out, const FileProblem& problem) {
  if (problem.what)
    out.add(problem.what);
  else
    add_error(out, problem.error);
}

}  // namespace unfreed::base
