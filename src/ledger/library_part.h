// Of a process that is traced from outside and has the runtime in it as well, two ledgers tell: the tracer's of the
// kinds that system calls make, the runtime's of all others. Whoever reads the first adds the second to the copy that
// it reads, so that there is one report.
#pragma once

#include <cstdint>
#include <string_view>

#include "ledger/copy.h"

namespace unfreed::ledger {

/// Bit per Kind: those that a tracer counts, and that the runtime in a traced process leaves to it. Threads are counted
/// by both: the tracer sees all of them, the runtime which are joined.
inline constexpr uint32_t kKindsOfTracer =
    1u << static_cast<unsigned>(Kind::fd) | 1u << static_cast<unsigned>(Kind::child);

/// Adds to `to`, a copy of the tracer's ledger, what `library`, the runtime's of the same process, has of other kinds:
/// call sites with their counts and stacks, handles, what was graded, failures. Its threads replace the tracer's if it
/// has seen as many start. Its records get new numbers, behind those that are there. `library` is untrusted, and all
/// of its text lies in memory. False: there is no memory, and nothing was changed. Allocates by mmap.
bool add_library_part(Copy& to, const View& library);

/// `to`: of a process in which the library has recorded something that cannot be added. All that it alone sees becomes
/// unavailable, so that no rule passes on it. `why` is part of reports.
void lose_library_part(Copy& to, std::string_view why);

}  // namespace unfreed::ledger
