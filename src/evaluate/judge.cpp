// Evaluates rules against one report.
#include <algorithm>

#include "evaluate/evaluate.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

/// Is it about what the process cannot get at any more?
bool is_about_loss(Counter counter) {
  return counter == Counter::lost || counter == Counter::lost_bytes || counter == Counter::indirectly_lost ||
         counter == Counter::indirectly_lost_bytes || counter == Counter::possibly_lost ||
         counter == Counter::possibly_lost_bytes;
}

/// Empty when it can be checked.
Text why_not_checked(const Rule& rule, const Report& report) {
  ledger::Coverage coverage = report.coverage[static_cast<size_t>(rule.kind())];
  const Totals* totals = report.totals_of(rule.subject);
  if (coverage == ledger::Coverage::off) return "this kind was not tracked";
  if (coverage == ledger::Coverage::unavailable || !totals) return "this kind could not be tracked in this process";
  if (coverage == ledger::Coverage::partial) return "this kind was only partly seen";
  // It may have opened some in the same way, past libc. One that was killed could not go by its own way.
  if (coverage == ledger::Coverage::unconfirmed && !was_killed(report))
    return "the process ended past libc, so the kernel's list of open descriptors was not read";
  bool is_live_child =
      rule.subject == Subject::child && (rule.counter == Counter::live || rule.counter == Counter::running);
  if (is_live_child && (*totals)[Counter::unknown] > 0)
    return "whether its children had ended could not be read from the kernel";
  if (rule.subject == Subject::fd && rule.counter == Counter::unattributed && !report.reconciled)
    return "the kernel's list of open descriptors was not available";
  bool is_series = report.watch && report.trigger == Trigger::snapshot;
  bool is_of_all_sites =
      rule.counter == Counter::total || rule.counter == Counter::total_bytes || rule.counter == Counter::peak;
  if (is_series && rule.per_site && is_of_all_sites) return "a series has only call sites that hold something";
  if (rule.counter == Counter::growth) {
    if (!report.watch) return "its growth was not recorded (unfreed watch records it)";
    if (report.watch->looks < kFewestLooks) return "there were too few looks at the process to tell how it grows";
  }
  if (is_about_loss(rule.counter)) {
    if (!report.grading && (was_killed(report) || report.trigger == Trigger::post_mortem))
      return "the process ended too suddenly for a search for lost objects";
    if (!report.grading)
      return "lost objects were not searched for: UNFREED_GRADE is off, or the process ended without exit()";
    return report.grading->reason;  // empty: all was found out
  }
  return {};
}

}  // namespace

RuleOutcome evaluate_rule(const Rule& rule, const Report& report) {
  RuleOutcome outcome;
  outcome.rule = rule.text;
  Text reason = why_not_checked(rule, report);
  const Totals* totals = report.totals_of(rule.subject);
  ledger::Coverage coverage = report.coverage[static_cast<size_t>(rule.kind())];
  bool is_partial = coverage == ledger::Coverage::partial || coverage == ledger::Coverage::unconfirmed;
  if (reason.empty() || (is_partial && totals)) {
    uint64_t value =
        rule.per_site ? report.worst_site[index_of(rule.subject)][rule.counter] : totals->counted(rule.counter);
    outcome.broken = rule.broken_by(value);
    // A part of the resources was seen: that is enough to break a rule, but not to pass it.
    if (reason.empty() || outcome.broken) {
      outcome.value = value;
      return outcome;
    }
  }
  outcome.unchecked = reason;
  return outcome;
}

bool rules_are_for(std::string_view patterns, const Process& process) {
  return rules_are_for(patterns, process.exe, process.directory, process.argv) || is_named(patterns, process.program);
}

bool was_killed(const Report& report) {
  return report.process.signal || (report.trigger == Trigger::post_mortem && !report.process.exit_status);
}

bool is_broken(const Report& report) {
  return std::any_of(report.rules.begin(), report.rules.end(), [](const RuleOutcome& one) { return one.broken; });
}

bool is_unchecked(const Report& report) {
  return report.rules.size() < report.rules_asked ||
         std::any_of(report.rules.begin(), report.rules.end(),
                     [](const RuleOutcome& one) { return !one.is_checked(); });
}

bool holds_something(const Report& report) {
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind) {
    const Totals* totals = report.totals_of(static_cast<Subject>(kind));
    if (totals && is_news(static_cast<ledger::Kind>(kind)) && totals->counted(Counter::live) > 0) return true;
  }
  return false;
}

}  // namespace unfreed::report
