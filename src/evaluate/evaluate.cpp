#include "evaluate/evaluate.h"

#include "base/text.h"
#include "evaluate/accepted.h"
#include "evaluate/build.h"
#include "evaluate/notes.h"
#include "evaluate/places.h"
#include "evaluate/site_places.h"
#include "evaluate/stack_table.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

/// The moment the report is about.
uint64_t report_time_ns(const ReportInput& input) {
  const ledger::Header& header = input.view->header();
  bool ended = header.state.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::State::ended);
  if (ended && header.ended_monotonic_ns != 0) return header.ended_monotonic_ns;
  return input.now_monotonic_ns;
}

void build_notes(Build& build) {
  NoteSink sink{&build, [](void* context, std::string_view note) {
                  Build& to = *static_cast<Build*>(context);
                  to.out.notes.add(to.arena, to.arena.copy(note));
                }};
  build.out.complete = list_notes(build.input, build.evaluation, build.out, sink);
}

/// The site that a site rule is about: of the worst place the one that has most of it; 0 for none.
uint32_t worst_site(const Evaluation& evaluation, const Rule& rule) {
  uint32_t worst = 0;
  uint64_t value = 0;
  each_place(evaluation, [&](const EvaluatedPlace& place) {
    if (subject_of(place.sum.kind) != rule.subject || place.sum.value(rule.counter) <= value) return;
    value = place.sum.value(rule.counter);
    worst = place.worst_site;
  });
  return worst;
}

/// What was not seen, and what can be done about it.
void explain_partly_seen(Build& build, const Rule& rule, RuleOutcome& outcome) {
  auto kind = static_cast<size_t>(rule.kind());
  std::string_view reason = build.view().text(build.view().header().coverage_reason[kind]);
  bool is_partial = build.out.coverage[kind] == ledger::Coverage::partial && build.out.totals_of(rule.subject);
  if (outcome.is_checked() || !is_partial || reason.empty()) return;
  base::FixedText<512> text;
  text.add(outcome.unchecked).add(": ").add(reason);
  outcome.unchecked = build.arena.copy(text.text());
}

void build_lists(Build& build) {
  build_sites(build);
  group_places(build.out, build.arena);
  build_retention(build);
  build_hints(build);
  build_descriptors(build);
  build_threads(build);
  build_goroutines(build);
  build_children(build);
  build_misuse(build);
  build_exec_leaks(build);
  build_failures(build);
  build.stacks.list_modules();
}

}  // namespace

void evaluate(const ReportInput& input, base::Arena& arena, Report& out) {
  out = Report{};
  Evaluation evaluation;
  evaluate_ledger(*input.view, arena, evaluation);
  if (!input.totals_only) sign_sites(input, arena, evaluation);
  count_closes_by_gc(input, evaluation);
  apply_suppressions(input, arena, evaluation);
  evaluate_misuse(input, arena, evaluation);
  if (!input.totals_only) order_sites(input.all_sites, arena, evaluation);
  StackTable stacks(*input.view, input.resolver, arena, out);
  Build build{input, evaluation, arena, stacks, out, report_time_ns(input)};
  out.trigger = input.trigger;
  if (input.trigger == Trigger::threshold) out.threshold = input.threshold;
  out.reconciled = evaluation.reconciled;
  uint32_t flags = input.view->header().flags.load(std::memory_order_relaxed);
  out.backend = flags & ledger::kHeaderFlagObserved ? "ebpf" : flags & ledger::kHeaderFlagTraced ? "trace" : "preload";
  out.preloaded = flags & ledger::kHeaderFlagJoined;
  build_process(build);
  build_coverage(build);
  build_grading(build);
  build_totals(build);
  build_untracked(build);
  if (!input.totals_only) build_lists(build);
  const Settings& settings = *input.settings;
  out.process.outside_rules = !rules_are_for(settings.rules_for, out.process) ||
                              (was_killed(out) && (is_named(settings.allow_killed, out.process.exe) ||
                                                   is_named(settings.allow_killed, out.process.program)));
  std::span<const Rule> rules = out.process.outside_rules ? std::span<const Rule>() : settings.rules.all();
  for (const Rule& rule : rules) {
    RuleOutcome* outcome = out.rules.add(arena);
    if (!outcome) break;  // a rule that found no room is missing, which is_unchecked() notices
    *outcome = evaluate_rule(rule, out);
    explain_partly_seen(build, rule, *outcome);
    if (rule.per_site && outcome->is_checked()) outcome->site = worst_site(evaluation, rule);
  }
  out.rules_asked = rules.size();
  evaluation.short_of_memory |= arena.short_of_memory();
  build_notes(build);
}

}  // namespace unfreed::report
