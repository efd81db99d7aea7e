// Writes lines to the program's stderr.
//
// Writing never waits (a pipe may be full, and its reader wait for the process to end), raises no signal (SIGPIPE,
// SIGXFSZ, SIGTTOU) and changes nothing about the open file, which others share. A line is dropped if stderr is not
// what it was at the start: the program may have closed it and opened a file of its own under that number.
// Async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::runtime {

enum class Line : uint8_t {
  /// Dropped in processes that a tracked process started: another program often reads their stderr (2>&1).
  news,
  /// Decides about a rule: every process writes it.
  verdict,
};

/// At the start: remembers what stderr is.
void remember_stderr();
bool is_stderr_unchanged();

/// Writes one line, with escapes where needed (base/printable.h).
void say(std::string_view line, Line kind = Line::news);

/// From now on lines may wait for a reader, all together at most this long: the process only has to end.
void let_lines_wait(int milliseconds);

}  // namespace unfreed::runtime
