#include "kernel/running_ledger.h"

#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"

namespace unfreed::report {

namespace {
void transfer_kernel_facts(const ledger::View& from, ledger::Writer& to) {
  ledger::Header& header = to.header();
  to.section(ledger::SectionId::kernel_fds).count.store(0, std::memory_order_relaxed);
  for (uint32_t index = 0; index < from.kernel_fd_count(); ++index) {
    const ledger::KernelFd* record = from.kernel_fd(index);
    uint64_t place = 0;
    auto* copy = record ? to.append<ledger::KernelFd>(ledger::SectionId::kernel_fds, place) : nullptr;
    if (!copy) continue;
    *copy = *record;
    copy->target = to.add_text(from.text(record->target));
  }
  header.reconciled_monotonic_ns = from.header().reconciled_monotonic_ns;
  header.flags.fetch_or(ledger::kHeaderFlagReconciled, std::memory_order_release);
}
}  // namespace

ledger::CopyError load_running_ledger(long file, int pid, ledger::Copy& out) {
  ledger::Copy first;
  if (ledger::CopyError error = first.load(file)) return error;
  bool ended = first.view().header().state.load() == static_cast<uint32_t>(ledger::State::ended);
  bool reconciled = ended || take_kernel_facts(first.writer(), pid);
  if (!ended) take_kernel_tasks(first.writer(), pid, file);
  // The table is read after the kernel was asked. A descriptor acquired since is known by its time; one released since
  // is on the list only, and is gone when looked for again.
  ledger::Copy second;
  if (!reconciled || ended || second.load(file)) {
    out = static_cast<ledger::Copy&&>(first);
    return {};
  }
  transfer_kernel_facts(first.view(), second.writer());
  recheck_kernel_facts(second.writer(), pid);
  take_kernel_tasks(second.writer(), pid, file);
  out = static_cast<ledger::Copy&&>(second);
  return {};
}

}  // namespace unfreed::report
