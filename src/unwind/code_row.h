// Rows for code that has no call frame information: musl's libc, and the programs that Debian's musl-gcc links. The
// instructions from a place to the function's return tell where its frame ends: they give back what it has taken from
// the stack.
#pragma once

#include <cstdint>

#include "unwind/objects.h"
#include "unwind/row.h"

namespace unfreed::unwind {

#ifdef __GLIBC__
inline constexpr bool kReadsCode = false;
#else
inline constexpr bool kReadsCode = true;
#endif

/// Looks up which functions of libc never return. Before the first row is looked for.
void prepare_code_reading();

/// Does the caller that a row leads to look like one? There may be several ways to a return, of which some are none:
/// code behind a function that never returns is another function's.
struct CallerCheck {
  void* context = nullptr;
  bool (*accepts)(void* context, const Row& row) = nullptr;
};

/// The row for the frame that goes on at `pc`, in an object of this process: by the first way to a return whose caller
/// is accepted, the straight one before branches. CfaRule::end if all ways end in libc's call of a function that never
/// returns, as where a thread begins. Else CfaRule::none, read in vain. Row::module is left 0. Bounded;
/// async-signal-safe; takes about 5 KiB of stack.
Row find_row_by_code(const Object& object, uintptr_t pc, const CallerCheck& check);

/// Is there code behind a call, or what signal handlers return to?
bool is_return_address(uintptr_t pc);

}  // namespace unfreed::unwind
