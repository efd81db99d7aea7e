#include <algorithm>

#include "evaluate/evaluation.h"

namespace unfreed::report {

namespace {

ChildClass classify(const Evaluation& evaluation, uint32_t kernel) {
  const ledger::KernelTask* task = kernel == kNoIndex ? nullptr : evaluation.view->kernel_task(kernel);
  // What ends while this process makes its report is no zombie of the program's.
  bool none_ended = evaluation.view->header().flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagNoneEnded;
  if (task) return (task->state == 'Z' || task->state == 'X') && !none_ended ? ChildClass::zombie : ChildClass::running;
  return evaluation.children_listed ? ChildClass::reaped_unseen : ChildClass::unknown;
}

bool read_child(const Evaluation& evaluation, std::span<ListedTask> list, const ledger::ChildRecord& record,
                EvaluatedChild& out) {
  if (record.state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::ChildState::started)) return false;
  out = EvaluatedChild{};
  ListedTask* listed = find_listed(list, record.pid);
  if (listed) listed->found = true;
  out.kernel = listed ? listed->index : kNoIndex;
  bool known = record.site < evaluation.sites.size() && evaluation.sites[record.site].valid &&
               evaluation.sites[record.site].kind == ledger::Kind::child;
  out.site = known ? record.site : 0;
  out.serial = record.serial;
  out.pid = record.pid;
  out.creator_tid = record.creator_tid;
  out.started_ns = record.started_ns;
  out.inherited = record.flags & ledger::kChildInherited;
  out.ignored = record.flags & ledger::kChildIgnored;
  out.child_class = classify(evaluation, out.kernel);
  // Started after the kernel's list was read: its absence from the list means nothing.
  bool is_later = out.started_ns > evaluation.view->header().reconciled_monotonic_ns;
  if (out.child_class == ChildClass::reaped_unseen && is_later) out.child_class = ChildClass::running;
  return true;
}

/// Of two records of one pid the older child is gone: the kernel has reused the number.
void settle_reused(std::span<EvaluatedChild> children) {
  std::sort(children.begin(), children.end(), [](const EvaluatedChild& left, const EvaluatedChild& right) {
    return left.pid != right.pid ? left.pid < right.pid : left.serial < right.serial;
  });
  for (size_t index = 0; index + 1 < children.size(); ++index) {
    if (children[index].pid != children[index + 1].pid) continue;
    children[index].kernel = kNoIndex;
    children[index].child_class = ChildClass::reaped_unseen;
  }
}

/// Do children come to the process that it has not started? What a traced one has started is all known.
bool adopts_orphans(const Evaluation& evaluation) {
  uint32_t flags = evaluation.view->header().flags.load(std::memory_order_relaxed);
  bool knows_all = flags & ledger::kHeaderFlagTraced && !(flags & ledger::kHeaderFlagAttached);
  return flags & ledger::kHeaderFlagAdopts || knows_all;
}

size_t add_unattributed(const Evaluation& evaluation, std::span<const ListedTask> list, std::span<EvaluatedChild> out,
                        size_t count) {
  for (const ListedTask& one : list) {
    if (one.found || count == out.size()) continue;
    EvaluatedChild& child = out[count++];
    child = EvaluatedChild{};
    child.kernel = one.index;
    child.pid = one.id;
    child.unattributed = true;
    child.adopted = adopts_orphans(evaluation);
    child.child_class = classify(evaluation, one.index);
  }
  return count;
}

void total(Evaluation& evaluation) {
  Totals& totals = evaluation.of(Subject::child);
  for (const EvaluatedChild& child : evaluation.children) {
    // As of descriptors, what the kernel lists counts, whether or not the call was seen that started it. But nobody has
    // to wait for what others have started.
    if (child.unattributed) ++totals[Counter::unattributed];
    if (child.adopted) continue;
    if (child.child_class == ChildClass::reaped_unseen)
      ++totals[Counter::reaped_unseen];
    else if (child.inherited)
      ++totals[Counter::inherited];
    else if (child.ignored)
      ++totals[Counter::ignored];
    else if (child.child_class == ChildClass::zombie)
      ++totals[Counter::live];
    else if (child.unattributed)
      continue;
    else if (child.child_class == ChildClass::running)
      ++totals[Counter::running];
    else
      ++totals[Counter::unknown];
  }
}

/// Only children that exist and that this process started belong to a site's objects.
uint32_t object_site(const EvaluatedChild& child) {
  return child.ignored || child.child_class == ChildClass::reaped_unseen ? 0 : child.site;
}

}  // namespace

void evaluate_children(base::Arena& arena, Evaluation& evaluation) {
  if (coverage_of(*evaluation.view, ledger::Kind::child) == ledger::Coverage::off) return;
  std::span<ListedTask> list = list_kernel_tasks(arena, evaluation, true);
  std::span<EvaluatedChild> children =
      arena.take_array<EvaluatedChild>(size_t{evaluation.view->child_count()} + list.size());
  size_t count = 0;
  for (uint32_t index = 0; index < evaluation.view->child_count() && count < children.size(); ++index) {
    const ledger::ChildRecord* record = evaluation.view->child(index);
    if (record && read_child(evaluation, list, *record, children[count])) ++count;
  }
  settle_reused(children.first(count));
  evaluation.children = children.first(add_unattributed(evaluation, list, children, count));
  total(evaluation);
  std::sort(evaluation.children.begin(), evaluation.children.end(),
            [](const EvaluatedChild& left, const EvaluatedChild& right) {
              if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
              if (left.child_class != right.child_class) return left.child_class < right.child_class;
              return left.serial != right.serial ? left.serial < right.serial : left.pid < right.pid;
            });
  for (uint32_t index = 0; index < evaluation.children.size(); ++index) {
    const EvaluatedChild& child = evaluation.children[index];
    uint32_t owner = object_site(child);
    if (owner == 0) continue;
    EvaluatedSite& site = evaluation.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    if (child.child_class == ChildClass::zombie)
      ++site.live;
    else if (child.child_class == ChildClass::running)
      ++site.running;
  }
}

}  // namespace unfreed::report
