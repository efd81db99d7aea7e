// Lines that the runtime writes to the program's stderr.
//
// Writing one never waits (a pipe may be full, and its reader wait for the process to end), raises no signal (SIGPIPE,
// SIGXFSZ, SIGTTOU) and changes nothing about the open file, which others share. A line is left out where stderr is not
// what it was at the start: the program may have closed it and opened a file of its own under that number.
// Async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::runtime {

enum class Line : uint8_t {
  /// Left out in processes that a tracked process started: what they write to stderr is often read by a program (2>&1).
  news,
  /// Something that decides about a rule: written by every process.
  verdict,
};

/// At the start: what is stderr?
void remember_stderr();
bool is_stderr_unchanged();

/// Writes one line, as it may be shown (base/printable.h).
void say(std::string_view line, Line kind = Line::news);

/// From now on lines may wait for a reader, all of them together for so long: the process ends, and does nothing else.
void let_lines_wait(int milliseconds);

}  // namespace unfreed::runtime
