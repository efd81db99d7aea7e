// The ledger of a process that is observed (--backend=ebpf): it is never stopped, so what is written down of its end
// was told, and lists that are read while it runs are compared once more.
#include <algorithm>
#include <string>

#include "kernel/kernel_facts.h"
#include "ledger/fd_target.h"
#include "trace/traced_ledger.h"

namespace unfreed::trace {

using ledger::FdRecord;
using ledger::Kind;
using ledger::SectionId;

/// A list as the kernel had it: a record for each number.
template <class Record, class Set>
void TracedLedger::enter(SectionId id, const std::vector<int>& numbers, ledger::Dropped full, Set set) const {
  uint64_t count = 0;
  for (int number : numbers) {
    auto* record = writer_.touch<Record>(id, count);
    if (!record) {
      writer_.drop(full);
      break;
    }
    *record = {};
    set(*record, number);
    ++count;
  }
  writer_.section(id).count.store(count, std::memory_order_release);
}

/// The path that a descriptor was opened with: the kernel does not say any more where it leads. 0: none.
ledger::StringRef TracedLedger::opened_as(int fd, std::unordered_map<std::string, ledger::StringRef>& known) const {
  const FdRecord* record = record_of(fd);
  uint64_t word = record ? record->word.load(std::memory_order_relaxed) : 0;
  std::string path(word ? ledger::opened_path(record->target, ledger::fd_serial(word)) : std::string_view());
  if (path.empty()) return 0;
  auto [found, is_new] = known.try_emplace(path, 0);
  if (is_new) found->second = writer_.add_text((record->target.cut ? "…" : "") + path);
  return found->second;
}

void TracedLedger::end(const std::vector<int>* open, const std::function<bool(int child)>& ran, int status,
                       uint64_t now_ns) {
  ledger::Header& header = writer_.header();
  header.ended_monotonic_ns = now_ns;
  header.exit_status = status;
  header.reconciled_monotonic_ns = now_ns;
  std::unordered_map<std::string, ledger::StringRef> targets;
  uint32_t known = ledger::kHeaderFlagThreadsListed | ledger::kHeaderFlagChildrenListed;
  if (open) known |= ledger::kHeaderFlagReconciled;
  if (!open) writer_.drop(ledger::Dropped::reconcile_failed);
  enter<ledger::KernelFd>(SectionId::kernel_fds, open ? *open : std::vector<int>(), ledger::Dropped::kernel_fds_full,
                          [&](ledger::KernelFd& record, int fd) {
                            record.fd = fd;
                            record.target = opened_as(fd, targets);
                          });
  std::vector<int> tasks{header.pid};
  for (const auto* thread : threads_) tasks.push_back(thread->tid);
  size_t threads = tasks.size(), at = 0;
  for (const auto* child : children_) tasks.push_back(child->pid);
  enter<ledger::KernelTask>(SectionId::kernel_tasks, tasks, ledger::Dropped::kernel_tasks_full,
                            [&](ledger::KernelTask& record, int id) {
                              record.id = id;
                              record.is_child = at++ >= threads;
                              record.state = record.is_child && !ran(id) ? 'Z' : 'S';
                            });
  header.flags.fetch_or(known, std::memory_order_release);
  if (code_.is_go()) header.no_goroutines = writer_.add_text("the program had ended");
  header.handover.store(static_cast<uint32_t>(ledger::Handover::left), std::memory_order_release);
  header.state.store(static_cast<uint32_t>(ledger::State::ended), std::memory_order_release);
}

void TracedLedger::lose_calls() {
  constexpr const char* kLost = "system calls were missed: the kernel's ring of events was full";
  for (Kind kind : {Kind::fd, Kind::thread, Kind::child})
    if (setup_.settings->kinds >> static_cast<unsigned>(kind) & 1)
      writer_.cover(kind, ledger::Coverage::partial, kLost);
}

void TracedLedger::recheck_facts(int tid, uint64_t since_ns) {
  uint64_t kept = 0;
  auto& count = writer_.section(SectionId::kernel_fds).count;
  for (uint64_t at = 0; at < count.load(); ++at) {
    ledger::KernelFd one = *writer_.at<ledger::KernelFd>(SectionId::kernel_fds, at);
    const FdRecord* record = record_of(one.fd);
    bool is_closed_since =
        record && !record->word.load() && record->closed.word.load() && record->closed.closed_ns >= since_ns;
    if (!is_closed_since) *writer_.at<ledger::KernelFd>(SectionId::kernel_fds, kept++) = one;
  }
  count.store(kept, std::memory_order_release);
  report::recheck_kernel_facts(writer_, tid);
}

}  // namespace unfreed::trace
