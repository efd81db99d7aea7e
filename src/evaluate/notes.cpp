#include "evaluate/notes.h"

#include "base/text.h"

namespace unfreed::report {

namespace {

using NoteText = base::FixedText<512>;

/// "3 " then this.
constexpr std::string_view kDroppedTexts[ledger::kDroppedCount] = {
#define DROPPED(name, meaning) meaning,
#include "ledger/dropped.inc"
#undef DROPPED
};

bool note_dropped(const ledger::View& view, const NoteSink& sink) {
  bool any = false;
  for (size_t reason = 0; reason < ledger::kDroppedSlots; ++reason) {
    uint64_t count = view.header().dropped[reason].load(std::memory_order_relaxed);
    if (count == 0) continue;
    any = true;
    NoteText note;
    note.add_number(count).add(' ');
    if (reason < ledger::kDroppedCount)
      note.add(kDroppedTexts[reason]);
    else
      note.add("records were dropped for a reason this version does not know (").add_number(reason).add(')');
    sink.add(sink.context, note.text());
  }
  return any;
}

std::string_view coverage_text(ledger::Coverage coverage) {
  switch (coverage) {
    case ledger::Coverage::sampled:
      return "was sampled: its figures are estimates";
    case ledger::Coverage::partial:
      return "was only partly seen";
    case ledger::Coverage::unavailable:
      return "could not be tracked: this report has no figures for it";
    default:
      return "was not tracked";
  }
}

/// A kind that the user left out is mentioned in "coverage", without a note.
bool note_coverage(const ledger::View& view, const NoteSink& sink) {
  bool any = false;
  for (size_t index = 0; index < ledger::kKindCount; ++index) {
    auto kind = static_cast<ledger::Kind>(index);
    ledger::Coverage coverage = coverage_of(view, kind);
    if (coverage == ledger::Coverage::exact || coverage == ledger::Coverage::off) continue;
    any |= coverage != ledger::Coverage::sampled;
    NoteText note;
    note.add(kind_name(kind)).add(' ').add(coverage_text(coverage));
    std::string_view reason = view.text(view.header().coverage_reason[index]);
    if (!reason.empty()) note.add(" (").add(reason).add(')');
    sink.add(sink.context, note.text());
  }
  return any;
}

bool is_tracked(const ledger::View& view, ledger::Kind kind) {
  ledger::Coverage coverage = coverage_of(view, kind);
  return coverage != ledger::Coverage::off && coverage != ledger::Coverage::unavailable;
}

bool note_reading(const Evaluation& evaluation, bool is_post_mortem, const NoteSink& sink) {
  const ledger::View& view = *evaluation.view;
  bool any = false;
  auto add = [&](std::string_view text) {
    any = true;
    sink.add(sink.context, text);
  };
  if (!evaluation.reconciled && is_tracked(view, ledger::Kind::fd))
    add("the kernel's list of open descriptors was not available: descriptors are counted from the process's own calls "
        "alone, targets are those of the opening calls, and what was opened or closed in other ways was missed");
  else if (is_post_mortem && is_tracked(view, ledger::Kind::fd))
    add("descriptors were compared with the kernel's list while the process ran, but not at its end");
  if (evaluation.of(Subject::child)[Counter::unknown] > 0)
    add("whether unreaped children had ended could not be read from the kernel: they count neither as ended nor as "
        "running");
  uint32_t flags = view.header().flags.load(std::memory_order_relaxed);
  bool is_sandboxed = flags & ledger::kHeaderFlagSandboxed;
  if (!evaluation.threads_listed && evaluation.of(Subject::thread)[Counter::running] > 0 && !is_post_mortem &&
      !is_sandboxed)
    add("the kernel's list of threads was not available: where threads were blocked is missing, and threads that no "
        "hooked function started were not seen");
  if (!evaluation.settled)
    add("counters were read while a thread was ending: counts may be off by what that thread did");
  if (is_post_mortem && flags & ledger::kHeaderFlagAsking)
    add("the process ended in a system call of unfreed's: it had restricted its system calls (seccomp) where no hook "
        "saw "
        "it, and its filter forbids even the call that finds out (prctl, or openat in a container). Run it with "
        "UNFREED_DISABLE=1, or name the other programs in UNFREED_ONLY");
  if (is_sandboxed && flags & ledger::kHeaderFlagMaybeSandboxed)
    add("the program's own code restricts system calls (seccomp) where no hook sees it: unfreed assumed that it had, "
        "and "
        "made none from then on, so descriptors were not compared with the kernel's list, and records that needed more "
        "memory were dropped");
  else if (is_sandboxed && evaluation.reconciled)
    add("the process restricted its system calls (seccomp): from then on unfreed made none in it (its descriptors were "
        "listed from outside), and records that needed more memory were dropped");
  else if (is_sandboxed)
    add("the process restricted its system calls (seccomp): from then on unfreed made none in it, so descriptors were "
        "not compared with the kernel's list, and records that needed more memory were dropped");
  if (evaluation.short_of_memory) add("some records are left out: the report's working memory was too small");
  return any;
}

}  // namespace

namespace {
/// Much memory that is neither a file's nor malloc's: that of an allocator which is not seen, or mapped by the program
/// itself. At most what malloc has ever returned can be malloc's; the runtime's own tables grow with that.
void note_unseen_memory(const Evaluation& evaluation, const NoteSink& sink) {
  ledger::Coverage coverage = coverage_of(*evaluation.view, ledger::Kind::heap);
  if (coverage != ledger::Coverage::exact && coverage != ledger::Coverage::partial) return;
  constexpr uint64_t kMiB = 1 << 20;
  uint64_t in_use = evaluation.view->header().private_bytes.load(std::memory_order_relaxed);
  uint64_t given = evaluation.of(Subject::heap)[Counter::total_bytes];
  if (in_use < given + given / 2 + 64 * kMiB) return;
  NoteText note;
  note.add_number(in_use / kMiB).add(" MiB of private memory are in use, but malloc was seen to return ");
  note.add_number(given / kMiB)
      .add(" MiB in all: the rest was mapped by the program, or by an allocator that is not seen");
  sink.add(sink.context, note.text());
}

void note_adopted(const Evaluation& evaluation, const NoteSink& sink) {
  uint64_t ended = 0;
  for (const EvaluatedChild& child : evaluation.children)
    if (child.adopted && child.child_class == ChildClass::zombie) ++ended;
  if (!ended) return;
  NoteText note;
  note.add_number(ended).add(ended == 1 ? " child has" : " children have");
  note.add(
      " ended that other processes had started, as far as is known: this one adopts orphans, and did not wait for ");
  sink.add(sink.context, note.add(ended == 1 ? "it" : "them").text());
}

void note_goroutines(const Evaluation& evaluation, const NoteSink& sink) {
  std::string_view reason = evaluation.view->text(evaluation.view->header().no_goroutines);
  if (reason.empty()) return;
  NoteText note;
  sink.add(sink.context, note.add("goroutines are missing: ").add(reason).text());
}

/// False: something of the run was missed.
bool note_untracked(const ReportInput& input, const Report& report, const NoteSink& sink) {
  uint64_t missed = 0, allowed = 0;
  for (const UntrackedProgram& one : report.untracked) (one.allowed ? allowed : missed) += one.count;
  if (!missed) return true;
  NoteText note;
  note.add_number(missed).add(missed == 1 ? " program" : " programs");
  if (!input.speaks_for_run) {
    note.add(" that this process started ").add(missed == 1 ? "was" : "were");
    note.add(" not tracked; see \"untracked\". Rules cover this process alone");
    sink.add(sink.context, note.text());
    return true;
  }
  note.add(missed == 1 ? " of this run was not tracked: " : " of this run were not tracked, the first of them ");
  for (const UntrackedProgram& one : report.untracked) {
    if (one.allowed) continue;
    note.add(base::slice(one.program, 0, 200)).add(": ").add(one.reason);
    break;
  }
  sink.add(sink.context, note.text());
  return false;
}
}  // namespace

bool list_notes(const ReportInput& input, const Evaluation& evaluation, const Report& report, const NoteSink& sink) {
  const ledger::View& view = *evaluation.view;
  bool dropped = note_dropped(view, sink);
  bool uncovered = note_coverage(view, sink);
  bool unread = note_reading(evaluation, input.trigger == Trigger::post_mortem, sink);
  if (evaluation.of(Subject::fd)[Counter::closed_unseen] > 0 && evaluation.reconciled) {
    NoteText note;
    uint64_t closed = evaluation.of(Subject::fd)[Counter::closed_unseen];
    note.add_number(closed).add(closed == 1 ? " descriptor was" : " descriptors were");
    note.add(" closed without a hooked function, and not counted");
    sink.add(sink.context, note.text());
  }
  if (view.header().flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagPrivate)
    sink.add(sink.context,
             "the ledger could not be put into shared memory: a killed process would have left no report");
  for (std::string_view note : input.notes) sink.add(sink.context, note);
  note_unseen_memory(evaluation, sink);
  note_adopted(evaluation, sink);
  note_goroutines(evaluation, sink);
  bool is_in_doubt = report.grading && report.grading->state == GradingState::done && !report.grading->reason.empty();
  if (is_in_doubt) sink.add(sink.context, report.grading->reason);
  bool is_whole_run = note_untracked(input, report, sink);
  if (!input.still_running.empty()) {
    NoteText note;
    note.add("still running when the run ended, so not in its reports: ").add(base::slice(input.still_running, 0, 400));
    sink.add(sink.context, note.text());
    is_whole_run = false;
  }
  return is_whole_run && !(dropped || uncovered || unread);
}

}  // namespace unfreed::report
