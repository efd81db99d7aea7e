#include "render/rules.h"

#include <algorithm>

namespace unfreed::render {

namespace {

const char* field_name(report::Field field) {
  switch (field) {
    case report::Field::live:
      return "live";
    case report::Field::bytes:
      return "bytes";
    case report::Field::total:
      return "total";
    case report::Field::total_bytes:
      return "total_bytes";
    case report::Field::peak:
      return "peak";
    case report::Field::unattributed:
      return "unattributed";
    case report::Field::inherited:
      return "inherited";
    case report::Field::running:
      return "running";
    case report::Field::not_open:
      return "not_open";
  }
  return "";
}

uint64_t value_of(const Site& site, report::Field field) {
  switch (field) {
    case report::Field::live:
      return site.live;
    case report::Field::bytes:
      return site.bytes;
    case report::Field::total:
      return site.total;
    case report::Field::total_bytes:
      return site.total_bytes;
    case report::Field::peak:
      return site.peak;
    case report::Field::running:
      return site.running;
    default:
      return 0;
  }
}

/// Totals contain what is suppressed; rules do not count it.
uint64_t suppressed_part(std::string_view kind, report::Field field, const Report& report) {
  uint64_t sum = 0;
  if (field == report::Field::peak) return 0;
  for (const Site& site : report.sites)
    if (site.kind == kind && !site.suppressed_by.empty()) sum += value_of(site, field);
  return sum;
}

/// What is libc's own is in no total and breaks no rule about sites either.
bool is_of_program(const Site& site) { return site.suppressed_by.empty() && site.owner != "libc"; }

}  // namespace

RuleOutcome evaluate(const report::Rule& rule, const Report& report) {
  RuleOutcome outcome;
  outcome.rule = rule.text;
  outcome.checked = false;
  std::string_view kind = rule.subject == report::Subject::misuse               ? "misuse"
                          : rule.subject == report::Subject::inherited_by_child ? "inherited_by_child"
                                                                                : report::kind_name(rule.kind);
  const KindTotals* totals = report.totals_of(kind);
  std::string_view coverage = report.coverage_of(report::kind_name(rule.kind));
  if (coverage.empty() || coverage == "off")
    outcome.reason = "its kind was not tracked";
  else if (coverage == "unavailable" || !totals)
    outcome.reason = "its kind could not be tracked in this process";
  else if (rule.kind == ledger::Kind::child && totals->value("unknown") > 0)
    outcome.reason = "whether its children had ended could not be asked";
  else if (rule.kind == ledger::Kind::fd && rule.field == report::Field::unattributed && !report.reconciled)
    outcome.reason = "the kernel's list of open descriptors was not to be had";
  if (!outcome.reason.empty()) return outcome;
  outcome.checked = true;
  uint64_t value = 0;
  if (rule.per_site) {
    for (const Site& site : report.sites)
      if (site.kind == kind && is_of_program(site)) value = std::max(value, value_of(site, rule.field));
  } else {
    uint64_t all = totals->value(field_name(rule.field));
    value = all - std::min(all, suppressed_part(kind, rule.field, report));
  }
  outcome.value = value;
  outcome.broken = rule.broken_by(value);
  return outcome;
}

}  // namespace unfreed::render
