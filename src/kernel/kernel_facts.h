// Enters the kernel's list of a process's descriptors into its ledger: the list that reports are reconciled
// with.
//
// Used by the runtime over its own live ledger, in the process itself or in a child cloned for a report (which has a
// copy of the descriptor table), and by the command over a private copy of another process's ledger. Only raw system
// calls: nothing here goes through an interposed function. Allocation-free (a few pages of mapped memory while it
// runs), leaves no descriptor open and none of its own on the list. Async-signal-safe; not for two threads at once over
// one ledger.
#pragma once

#include "base/text.h"
#include "ledger/writer.h"

namespace unfreed::report {

/// Lists the open descriptors of `pid` (0 or the caller's own pid: itself) into the section kernel_fds, replacing what
/// was there, and sets kHeaderFlagReconciled. For itself it works without a free descriptor and without /proc (then
/// some targets are unknown). False if the list could not be read or is incomplete: the ledger is then marked as not
/// reconciled, and counts a Dropped::reconcile_failed.
bool take_kernel_facts(ledger::Writer& writer, int pid);

/// For a running process: drops from the list what is not in the fd table and is no longer open. Such a descriptor was
/// just being closed, or opened, when the list was read. take_kernel_facts() does this for the process itself; a reader
/// from outside calls it after it has read the table anew.
void recheck_kernel_facts(ledger::Writer& writer, int pid);
/// Does the table of descriptors have a record of this number? Lock-free.
bool is_in_fd_table(const ledger::Writer& writer, int fd);
/// Of the kernel's list, those that have a record, or that `keeps` is true of, stay.
void keep_unattributed(ledger::Writer& writer, bool (*keeps)(int fd));

/// One descriptor of another process, as such a list has it; what it leads to is added to `target`. For the command, of
/// a process that has no ledger. False if it is not open, or may not be looked at.
bool describe_descriptor(int pid, int fd, ledger::KernelFd& out, base::TextBuilder& target);

}  // namespace unfreed::report
