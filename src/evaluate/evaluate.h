// Turns a ledger into the evaluated report: reconciles descriptors with the kernel's list, settles counts, applies
// suppressions, names stacks, evaluates rules. Both halves use it: in the process itself, names come from symbol
// tables; in the command, a resolver adds files, lines and inlined frames.
// Allocates from the arena only; async-signal-safe if the resolver is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/text.h"
#include "ledger/view.h"
#include "names/frame_resolver.h"
#include "report/report.h"
#include "settings/settings.h"
#include "settings/suppressions.h"

namespace unfreed::report {

struct ReportInput {
  const ledger::View* view = nullptr;
  Trigger trigger = Trigger::exit;
  Threshold threshold;  ///< what was reached, where that is the trigger
  FrameResolver resolver;
  const Settings* settings = &kDefaultSettings;  ///< its rules; and whatever a row of settings.inc says is used
  std::span<const Suppression> suppressions;     ///< of its files, which are the caller's to read
  int wait_status = -1;           ///< from waitpid, where the writer is the parent; -1: use the ledger's exit_status
  uint64_t now_monotonic_ns = 0;  ///< ages and duration of a process that still runs
  bool all_sites = false;         ///< also sites with nothing live
  uint32_t most_sites = 0;        ///< of each kind that are listed; 0: all (UNFREED_TOP)
  /// Without stacks, sites and objects. Site rules are then evaluated as if all sites were one call site, which they
  /// might be.
  bool totals_only = false;
  /// The programs of the whole run, if the report is that of its command; else those that the process itself started
  /// are listed. A program that is not allowed makes the report incomplete.
  std::span<const UntrackedProgram> untracked_of_run;
  uint64_t clean_processes = 0;  ///< report.h
  bool speaks_for_run = false;
  std::string_view still_running;  ///< names of the run's processes that go on: they make the report incomplete
  std::span<const std::string_view> notes;  ///< extra notes, e.g. "the target's /proc could not be read"
};

/// Fills in `out`, whose texts lie in the ledger, in `input` and in `arena`.
void evaluate(const ReportInput& input, base::Arena& arena, Report& out);

/// Evaluates one rule. The result is the same for a new report and for one that was read from JSON.
RuleOutcome evaluate_rule(const Rule& rule, const Report& report);

/// A signal ended the process, or its end was not seen and nobody knows how it came. (One that ends by a system call of
/// its own is taken for that unless a process of the run has waited for it.)
bool was_killed(const Report& report);
/// Do rules apply to the process? `patterns`: UNFREED_RULES_FOR (settings/programs.h). Its name is the file's, and the
/// one that it was started by.
bool rules_are_for(std::string_view patterns, const Process& process);

bool is_broken(const Report& report);     ///< a rule is broken
bool is_unchecked(const Report& report);  ///< a rule could not be checked
/// Something of the process's own that is not released, after suppressions. Only kinds that are news
/// (ledger/kinds.inc).
bool holds_something(const Report& report);

}  // namespace unfreed::report
