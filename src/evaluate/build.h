// Turns an evaluation into the structure of a report: names every record and computes every age.
// Internal to this folder. Allocates from the arena only; async-signal-safe if the resolver is.
#pragma once

#include "evaluate/evaluation.h"
#include "evaluate/stack_table.h"

namespace unfreed::report {

/// What all parts use.
struct Build {
  const ReportInput& input;
  const Evaluation& evaluation;
  base::Arena& arena;
  StackTable& stacks;
  Report& out;
  uint64_t now_ns;  ///< CLOCK_MONOTONIC: ages are measured back from here

  const ledger::View& view() const { return *evaluation.view; }
  uint64_t age_ns(uint64_t since_ns) const { return now_ns > since_ns ? now_ns - since_ns : 0; }
  Text function_name(uint16_t index) const { return evaluation.function_name(index); }
};

void build_process(Build& build);
void build_coverage(Build& build);
void build_grading(Build& build);
void build_totals(Build& build);
void build_sites(Build& build);
/// Who keeps blocks alive.
void build_retention(Build& build);
/// What the state of what is held says.
void build_hints(Build& build);
void build_descriptors(Build& build);
void build_threads(Build& build);
void build_goroutines(Build& build);
void build_children(Build& build);
void build_misuse(Build& build);
void build_exec_leaks(Build& build);
void build_failures(Build& build);
void build_untracked(Build& build);

/// What the process has entered of its blocks' ages.
struct HeapAges {
  std::span<const ledger::HeapAge*> by_site;  ///< the oldest of each first
  std::span<const ledger::HeapAge* const> of(uint64_t site) const;
};
HeapAges read_heap_ages(Build& build);
/// Site::ages, as far as they are known.
void build_ages(Build& build, const HeapAges& known, const EvaluatedSite& site, Site& out);

/// The tests that have run in the process.
struct Tests {
  std::span<const ledger::TestRecord*> in_order;
  /// That ran when an object of that kind was acquired, by its index in the evaluation; "" for none.
  Text of_object(const Build& build, ledger::Kind kind, uint32_t index) const;
};
Tests read_tests(Build& build);
/// Site::tests.
void build_tests(Build& build, const Tests& tests, const HeapAges& ages, const EvaluatedSite& site, Site& out);
/// That ran when the process was started; "" for none.
Text test_of_process(const Build& build);

/// What the process has recorded of its sites' numbers.
struct Histories {
  std::span<const ledger::SiteHistory*> by_site;
};
Histories read_histories(Build& build);
/// Site::history, if there is one.
void build_history(Build& build, const Histories& known, const ledger::Site& record, Site& out);

/// A descriptor's target and flags, as the kernel listed them.
void describe_target(Build& build, const EvaluatedFd& fd, Text& target, List<Text>& flags);
/// What a thread or goroutine holds: `fd` as it is listed there.
void describe_held(Build& build, const EvaluatedFd& fd, Object& out);
/// A child that belongs to a site.
void describe_child(Build& build, const EvaluatedChild& child, Object& out);
Text state_of(const EvaluatedChild& child);
/// Of a thread or task; up to its NUL.
Text name_of(const char (&name)[16]);
/// Text up to its NUL, or all of it.
Text text_of(const char* text, size_t room);
/// The name of a ledger::FdOwner; "" for none, and for an unknown number.
Text owner_name(uint32_t kind);
/// The suppression's line; "" for none.
Text suppression_text(const Build& build, uint32_t suppression);

}  // namespace unfreed::report
