#include <algorithm>

#include "report/graded.h"

namespace unfreed::report {

namespace {

ChildClass classify(const Graded& graded, uint32_t kernel) {
  const ledger::KernelTask* task = kernel == kNoIndex ? nullptr : graded.view->kernel_task(kernel);
  if (task) return task->state == 'Z' || task->state == 'X' ? ChildClass::zombie : ChildClass::running;
  return graded.children_listed ? ChildClass::reaped_unseen : ChildClass::unknown;
}

bool read_child(const Graded& graded, std::span<ListedTask> list, const ledger::ChildRecord& record, GradedChild& out) {
  if (record.state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::ChildState::started)) return false;
  out = GradedChild{};
  ListedTask* listed = find_listed(list, record.pid);
  if (listed) listed->found = true;
  out.kernel = listed ? listed->index : kNoIndex;
  bool known = record.site < graded.sites.size() && graded.sites[record.site].valid &&
               graded.sites[record.site].kind == ledger::Kind::child;
  out.site = known ? record.site : 0;
  out.serial = record.serial;
  out.pid = record.pid;
  out.creator_tid = record.creator_tid;
  out.started_ns = record.started_ns;
  out.inherited = record.flags & ledger::kChildInherited;
  out.ignored = record.flags & ledger::kChildIgnored;
  out.child_class = classify(graded, out.kernel);
  // Started after the kernel was asked: that it is not on the list means nothing.
  bool is_later = out.started_ns > graded.view->header().reconciled_monotonic_ns;
  if (out.child_class == ChildClass::reaped_unseen && is_later) out.child_class = ChildClass::running;
  return true;
}

/// Of two records of one pid the older child is gone: the kernel has handed the number out again.
void settle_reused(std::span<GradedChild> children) {
  std::sort(children.begin(), children.end(), [](const GradedChild& left, const GradedChild& right) {
    return left.pid != right.pid ? left.pid < right.pid : left.serial < right.serial;
  });
  for (size_t index = 0; index + 1 < children.size(); ++index) {
    if (children[index].pid != children[index + 1].pid) continue;
    children[index].kernel = kNoIndex;
    children[index].child_class = ChildClass::reaped_unseen;
  }
}

size_t add_unattributed(const Graded& graded, std::span<const ListedTask> list, std::span<GradedChild> out,
                        size_t count) {
  for (const ListedTask& one : list) {
    if (one.found || count == out.size()) continue;
    GradedChild& child = out[count++];
    child = GradedChild{};
    child.kernel = one.index;
    child.pid = one.id;
    child.unattributed = true;
    child.child_class = classify(graded, one.index);
  }
  return count;
}

void total(Graded& graded) {
  ChildTotals& totals = graded.child;
  for (const GradedChild& child : graded.children) {
    if (child.child_class == ChildClass::reaped_unseen)
      ++totals.reaped_unseen;
    else if (child.unattributed)
      ++totals.unattributed;
    else if (child.inherited)
      ++totals.inherited;
    else if (child.ignored)
      ++totals.ignored;
    else if (child.child_class == ChildClass::zombie)
      ++totals.live;
    else if (child.child_class == ChildClass::running)
      ++totals.running;
    else
      ++totals.unknown;
  }
}

/// Only what is there, and this process's own doing, belongs to its site's objects.
uint32_t object_site(const GradedChild& child) {
  return child.ignored || child.child_class == ChildClass::reaped_unseen ? 0 : child.site;
}

}  // namespace

void grade_children(Scratch& scratch, Graded& graded) {
  if (coverage_of(*graded.view, ledger::Kind::child) == ledger::Coverage::off) return;
  std::span<ListedTask> list = list_kernel_tasks(scratch, graded, true);
  std::span<GradedChild> children = scratch.take<GradedChild>(size_t{graded.view->child_count()} + list.size());
  size_t count = 0;
  for (uint32_t index = 0; index < graded.view->child_count() && count < children.size(); ++index) {
    const ledger::ChildRecord* record = graded.view->child(index);
    if (record && read_child(graded, list, *record, children[count])) ++count;
  }
  settle_reused(children.first(count));
  graded.children = children.first(add_unattributed(graded, list, children, count));
  total(graded);
  std::sort(graded.children.begin(), graded.children.end(), [](const GradedChild& left, const GradedChild& right) {
    if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
    if (left.child_class != right.child_class) return left.child_class < right.child_class;
    return left.serial != right.serial ? left.serial < right.serial : left.pid < right.pid;
  });
  for (uint32_t index = 0; index < graded.children.size(); ++index) {
    const GradedChild& child = graded.children[index];
    uint32_t owner = object_site(child);
    if (owner == 0) continue;
    GradedSite& site = graded.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    if (child.child_class == ChildClass::zombie)
      ++site.live;
    else if (child.child_class == ChildClass::running)
      ++site.running;
  }
}

}  // namespace unfreed::report
