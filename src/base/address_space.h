// How much address space the runtime may use. Normally there is plenty; but if the process's is limited
// (RLIMIT_AS, RLIMIT_DATA: `ulimit -v`, `ulimit -d`), the program lacks whatever the runtime maps, however little
// of that is touched.
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

/// Reads the limits, at the start and after each change. One thread at a time.
void measure_address_space();

/// True if address space is scarce: tables are then small, and grow only as they fill up.
bool is_address_space_short();

/// May the runtime map this much more? Always, if the limits are far away. Else as long as what it has mapped since
/// it read them is a small part of what is free now. Async-signal-safe; makes system calls if the limits are not
/// far away.
bool may_take_address_space(size_t bytes);
/// Subtracts what was unmapped, or could not be mapped.
void return_address_space(size_t bytes);

/// The most it may map, in all; SIZE_MAX if nothing limits it.
size_t limit_of_address_space();

/// How much the process may still map, in all; SIZE_MAX if nothing limits it.
size_t free_address_space();

}  // namespace unfreed::base
