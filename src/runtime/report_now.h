// The last report, for who ends the process (ending.cpp).
#pragma once

namespace unfreed::runtime {

/// Enters where each thread is blocked: what is easiest found out by the process itself.
void describe_threads();

/// Makes the report on a process that has ended: it has taken the kernel's word already. Waits for it, with a limit. Returns
/// a status of report/answer.h, or −1 where it could not be made.
int make_last_report();
/// Waits for the copy of this process that makes the report now, whichever report that is; the same otherwise. For a
/// signal handler that has interrupted who started it.
int wait_for_last_report();

}  // namespace unfreed::runtime
