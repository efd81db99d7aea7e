// Enters the kernel's list of a process's threads and children into its ledger, for reports to reconcile the tables of
// threads and children with. As kernel_facts.h, and used in the same places.
#pragma once

#include "ledger/writer.h"

namespace unfreed::report {

/// Lists the threads of `pid` (0 or the caller's own pid: itself), and its children, into the section kernel_tasks,
/// replacing what was there, and sets kHeaderFlagThreadsListed and kHeaderFlagChildrenListed for what could be listed.
/// The caller itself is left out, should it be a child of `pid`. From outside: so is the runtime's own copy of that
/// process, by what the file of its ledger says at that moment (−1: there is no runtime in it). Async-signal-safe,
/// allocation-free; one thread at a time.
void take_kernel_tasks(ledger::Writer& writer, int pid, long ledger_file = -1);

}  // namespace unfreed::report
