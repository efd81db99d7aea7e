// Makes the last report, for the function that ends the process (ending.cpp), and what the C API describes by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/text.h"
#include "evaluate/held_sites.h"
#include "ledger/view.h"

namespace unfreed::runtime {

/// This process's ledger.
ledger::View own_view();

/// Records where each thread is blocked, which the process itself can find out most easily.
void describe_threads();

/// In a copy of the process: describes call sites without the command, so without source lines. False: there is no
/// memory.
bool describe_here(std::span<const report::HeldSite> held, base::TextBuilder& out);

/// Has the process so little to report that it may do so itself, in some 50 ms, for which signals wait? On a stack of
/// that size.
bool is_quickly_evaluated();
inline constexpr size_t kEvaluationStackBytes = size_t{512} * 1024;

/// Makes the report on a process that has ended and has read the kernel's lists. `sp_to_grade_from`: 0, or as
/// grade_at_end() has it. Waits for it, with a limit. Returns
/// a status of report/answer.h, or −1 if it could not be made.
int make_last_report(uintptr_t sp_to_grade_from);
/// Waits for the copy of this process that is making a report, whichever report that is; the same otherwise. For a
/// signal handler that has interrupted the thread that started it.
int wait_for_last_report();

}  // namespace unfreed::runtime
