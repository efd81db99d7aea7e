// What the kernel says about a process's descriptors, entered into its ledger: the list that reports are reconciled
// with.
//
// Used by the runtime over its own live ledger, in the process itself or in a child cloned for a report (which has a
// copy of the descriptor table), and by the command over a private copy of another process's ledger. Only raw system
// calls: nothing here goes through an interposed function. Allocation-free (a few pages of mapped memory while it
// runs), leaves no descriptor open and none of its own on the list. Async-signal-safe; not for two threads at once over
// one ledger.
#pragma once

#include "ledger/writer.h"

namespace unfreed::report {

/// Lists the open descriptors of `pid` (0 or the caller's own pid: itself) into the section kernel_fds, replacing what
/// was there, and sets kHeaderFlagReconciled. For itself it works without a free descriptor and without /proc (then
/// some targets are unknown). False when the list could not be had or is not whole: the ledger then says that it is not
/// reconciled, and counts a Dropped::reconcile_failed.
bool take_kernel_facts(ledger::Writer& writer, int pid);

/// For a process that runs on: drops from the list what the fd table does not know and what is no longer open. Such a
/// descriptor was being closed, or just being opened, when the list was taken. take_kernel_facts() does it for the
/// process itself; a reader from outside calls it after it has read the table anew.
void recheck_kernel_facts(ledger::Writer& writer, int pid);

}  // namespace unfreed::report
