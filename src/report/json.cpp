#include "report/json.h"

#include <algorithm>

#include "report/emit.h"
#include "report/notes.h"
#include "report/stack_hashes.h"

namespace unfreed::report {

namespace {

constexpr size_t kBufferBytes = 64 * 1024;

/// The moment the report is about.
uint64_t report_time_ns(const ReportInput& input) {
  const ledger::Header& header = input.view->header();
  bool ended = header.state.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::State::ended);
  if (ended && header.ended_monotonic_ns != 0) return header.ended_monotonic_ns;
  return input.now_monotonic_ns;
}

void evaluate_all(const ReportInput& input, const Graded& graded, std::span<RuleOutcome> outcomes,
                  ReportResult& result) {
  for (size_t index = 0; index < input.rules.size(); ++index) {
    // A rule there was no room for is a rule that was not checked.
    RuleOutcome outcome = evaluate(input.rules[index], graded);
    result.broken |= outcome.broken;
    result.unchecked |= !outcome.checked;
    if (index < outcomes.size()) outcomes[index] = outcome;
  }
}

void emit_notes(const ReportInput& input, const Graded& graded, JsonText& json) {
  NoteSink nowhere{nullptr, [](void*, std::string_view) {}};
  json.member("complete", list_notes(input, graded, nowhere));
  json.key("notes").begin_array();
  list_notes(input, graded,
             {&json, [](void* context, std::string_view note) { static_cast<JsonText*>(context)->value(note); }});
  json.end_array();
}

void emit_report(Emission& emission, std::span<const RuleOutcome> outcomes) {
  JsonText& json = emission.json;
  json.begin_object();
  json.member("schema_version", 1);
  json.key("tool").begin_object(Layout::compact);
  json.member("name", "unfreed");
  json.member("version", UNFREED_VERSION);
  json.end_object();
  json.member("trigger", trigger_name(emission.input.trigger));
  emit_notes(emission.input, emission.graded, json);
  emit_process(emission);
  emit_coverage(emission);
  json.member("reconciled", emission.graded.reconciled);
  emit_totals(emission);
  emit_sites(emission);
  emit_descriptors(emission);
  emit_threads(emission);
  emit_children(emission);
  emit_misuse(emission);
  emit_crossings(emission);
  emit_exhaustion(emission);
  emit_failures(emission);
  emit_rules(emission, outcomes);
  emit_modules(emission);
  json.end_object();
}

}  // namespace

std::string_view trigger_name(Trigger trigger) {
  switch (trigger) {
    case Trigger::exit:
      return "exit";
    case Trigger::signal:
      return "signal";
    case Trigger::api:
      return "api";
    case Trigger::snapshot:
      return "snapshot";
    case Trigger::post_mortem:
      return "post_mortem";
    case Trigger::exhaustion:
      return "exhaustion";
  }
  return "unknown";
}

size_t scratch_bytes(const ledger::View& view) {
  return graded_bytes(view) + OuterStacks::scratch_bytes(view) +
         with_room_to_grow(view.node_count()) * sizeof(uint64_t) + kBufferBytes + kMaxRules * sizeof(RuleOutcome) +
         view.module_count() + 1024;
}

ReportResult write_report(const ReportInput& input, const Sink& sink) {
  ReportResult result;
  Scratch scratch(input.scratch);
  std::span<char> buffer = scratch.take<char>(kBufferBytes);
  std::span<RuleOutcome> outcomes = scratch.take<RuleOutcome>(input.rules.size());
  std::span<bool> modules = scratch.take<bool>(input.view->module_count());
  for (bool& referenced : modules) referenced = false;

  Graded graded;
  grade(*input.view, scratch, graded);
  StackHashes hashes(*input.view, input.resolver, scratch.take<uint64_t>(input.view->node_count()));
  graded.hashes = &hashes;
  apply_suppressions(input, graded);
  grade_misuse(input, scratch, graded);
  order_sites(input.all_sites, scratch, graded);
  evaluate_all(input, graded, outcomes, result);
  result.holds_something = holds_something(graded);
  NoteSink nowhere{nullptr, [](void*, std::string_view) {}};
  result.complete = list_notes(input, graded, nowhere);

  OuterStacks outer;
  size_t listed = std::min<size_t>(graded.listed.size(), input.most_sites);
  if (listed > OuterStacks::kWholeStacks)
    outer.prepare(*input.view, graded.listed.first(listed).subspan(OuterStacks::kWholeStacks), scratch);
  JsonText json(sink, buffer);
  Emission emission{input, graded, json, report_time_ns(input), modules, outer};
  emit_report(emission, outcomes);
  result.written = json.finish();
  return result;
}

}  // namespace unfreed::report
