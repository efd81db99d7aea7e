// How much address space the runtime may take. As a rule as much as it likes; but where the process's is limited
// (RLIMIT_AS, RLIMIT_DATA: `ulimit -v`, `ulimit -d`), what the runtime maps is lacking to the program, however little
// of it is ever touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::base {

/// In pages, as /proc/PID/statm has it.
struct Statm {
  uint64_t all;     ///< address space
  uint64_t in_use;  ///< of it, in memory
  uint64_t shared;  ///< of those, files' and shared memory's
  uint64_t data;    ///< address space that is data or stack
};
bool read_statm(const char* path, Statm& out);

/// Looks at the limits, at the start and after they have been changed. One thread at a time.
void measure_address_space();

/// True where every megabyte counts: tables are then small, and grow only as they fill up.
bool is_address_space_short();

/// May the runtime map so much more? Where the limits are far away, always. Else as long as what it has taken since
/// they were looked at is a small part of what is free now. Async-signal-safe; makes system calls where they are not
/// far away.
bool may_take_address_space(size_t bytes);
/// What was taken has been given back, or could not be mapped.
void return_address_space(size_t bytes);

/// How much the process may still map, in all; SIZE_MAX where nothing limits it.
size_t free_address_space();

}  // namespace unfreed::base
