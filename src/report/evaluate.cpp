#include "report/evaluate.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

uint64_t minus(uint64_t value, uint64_t part) { return value > part ? value - part : 0; }

uint64_t fd_value(const FdTotals& totals, Field field) {
  switch (field) {
    case Field::live:
      return minus(totals.live, totals.suppressed);
    case Field::total:
      return minus(totals.total, totals.suppressed_total);
    case Field::peak:
      return totals.peak;
    case Field::unattributed:
      return totals.unattributed;
    case Field::inherited:
      return totals.inherited;
    default:
      return 0;
  }
}

uint64_t heap_value(const HeapTotals& totals, Field field) {
  switch (field) {
    case Field::live:
      return minus(totals.live, totals.suppressed);
    case Field::bytes:
      return minus(totals.bytes, totals.suppressed_bytes);
    case Field::total:
      return minus(totals.total, totals.suppressed_total);
    case Field::total_bytes:
      return minus(totals.total_bytes, totals.suppressed_total_bytes);
    default:
      return 0;
  }
}

uint64_t task_value(const TaskTotals& totals, Field field) {
  switch (field) {
    case Field::live:
      return minus(totals.live, totals.suppressed);
    case Field::running:
      return minus(totals.running, totals.suppressed_running);
    case Field::total:
      return minus(totals.total, totals.suppressed_total);
    case Field::peak:
      return totals.peak;
    case Field::unattributed:
      return totals.unattributed;
    default:
      return 0;
  }
}

uint64_t process_value(const Rule& rule, const Graded& graded) {
  if (rule.subject == Subject::misuse)
    return rule.field == Field::not_open ? graded.misuse.by_kind[static_cast<size_t>(ledger::MisuseKind::not_open)]
                                         : graded.misuse.live;
  if (rule.subject == Subject::inherited_by_child) return graded.crossing.live;
  switch (rule.kind) {
    case Kind::fd:
      return fd_value(graded.fd, rule.field);
    case Kind::heap:
      return heap_value(graded.heap, rule.field);
    case Kind::thread:
      return task_value(graded.thread, rule.field);
    case Kind::child:
      return task_value(graded.child, rule.field);
    default:
      return 0;
  }
}

uint64_t site_value(const GradedSite& site, Field field) {
  switch (field) {
    case Field::live:
      return site.live;
    case Field::bytes:
      return site.bytes;
    case Field::total:
      return site.total;
    case Field::total_bytes:
      return site.total_bytes;
    case Field::peak:
      return site.peak;
    case Field::running:
      return site.running;
    default:
      return 0;
  }
}

void find_worst_site(const Rule& rule, const Graded& graded, RuleOutcome& outcome) {
  for (uint32_t index = 0; index < graded.sites.size(); ++index) {
    const GradedSite& site = graded.sites[index];
    if (!site.counts() || site.kind != rule.kind) continue;
    uint64_t value = site_value(site, rule.field);
    if (value <= outcome.value) continue;
    outcome.value = value;
    outcome.site = index;
  }
}

const char* why_not_checked(const Rule& rule, const Graded& graded) {
  ledger::Coverage coverage = coverage_of(*graded.view, rule.kind);
  if (coverage == ledger::Coverage::off) return "its kind was not tracked";
  if (coverage == ledger::Coverage::unavailable) return "its kind could not be tracked in this process";
  bool is_live_child = rule.kind == Kind::child && (rule.field == Field::live || rule.field == Field::running);
  if (is_live_child && graded.child.unknown > 0) return "whether its children had ended could not be asked";
  if (rule.kind == Kind::fd && rule.field == Field::unattributed && !graded.reconciled)
    return "the kernel's list of open descriptors was not to be had";
  return nullptr;
}

}  // namespace

RuleOutcome evaluate(const Rule& rule, const Graded& graded) {
  RuleOutcome outcome;
  outcome.reason = why_not_checked(rule, graded);
  if (outcome.reason) return outcome;
  outcome.checked = true;
  if (rule.per_site)
    find_worst_site(rule, graded, outcome);
  else
    outcome.value = process_value(rule, graded);
  outcome.broken = rule.broken_by(outcome.value);
  return outcome;
}

bool holds_something(const Graded& graded) {
  return fd_value(graded.fd, Field::live) > 0 || graded.fd.unattributed > 0 ||
         task_value(graded.thread, Field::live) > 0 || task_value(graded.child, Field::live) > 0;
}

}  // namespace unfreed::report
