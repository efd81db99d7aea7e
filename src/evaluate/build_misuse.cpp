// Invalid closes, descriptors that other programs inherited, and calls that failed for lack of a resource.
#include <errno.h>

#include "base/text.h"
#include "base/time_text.h"
#include "elf/obstacle.h"
#include "evaluate/build.h"
#include "settings/programs.h"
#include "settings/settings.h"

namespace unfreed::report {

namespace {

constexpr Text kMisuseNames[] = {"", "double_close", "not_open", "behind_owner", "stale_owner", "standard_closed"};

/// One of the calls that explain an invalid close; absent where there is none.
std::optional<ClosingCall> describe_call(Build& build, uint32_t site, int32_t thread, uint64_t when_ns) {
  const ledger::Site* record = site == 0 ? nullptr : build.view().site(site);
  if (!record) return {};
  ClosingCall call;
  call.function = build.function_name(record->hook);
  call.thread = thread;
  call.age_ns = build.age_ns(when_ns);
  bool cut = false;
  call.stack = build.stacks.stack(record->node, cut);
  call.truncated = cut || (record->flags & ledger::kSiteTruncated);
  return call;
}

ledger::Kind known_kind(uint32_t kind) { return static_cast<ledger::Kind>(kind < ledger::kKindCount ? kind : 0); }

Text error_name(Build& build, int error) {
  switch (error) {
    case EMFILE:
      return "EMFILE";
    case ENFILE:
      return "ENFILE";
    case ENOMEM:
      return "ENOMEM";
    case EAGAIN:
      return "EAGAIN";
    case ENOSPC:
      return "ENOSPC";
    case EPERM:
      return "EPERM";
    default:
      break;
  }
  base::FixedText<32> number;
  return build.arena.copy(number.add("errno ").add_signed(error).text());
}

}  // namespace

void build_misuse(Build& build) {
  for (const EvaluatedMisuse& misuse : build.evaluation.misuses) {
    const ledger::Misuse* record = build.view().misuse(misuse.index);
    if (!record || record->kind >= std::size(kMisuseNames)) continue;
    Misuse* out = build.out.misuse.add(build.arena);
    if (!out) return;
    out->type = kMisuseNames[record->kind];
    out->count = misuse.count;
    out->fd = record->fd;
    out->owner = owner_name(record->owner_kind);
    out->opened = describe_call(build, record->opened_site, record->opened_tid, record->opened_ns);
    out->first_closed = describe_call(build, record->closed_site, record->closed_tid, record->closed_ns);
    out->closed = describe_call(build, record->site, record->tid, record->first_ns);
    out->reopened = describe_call(build, record->reopened_site, record->reopened_tid, record->reopened_ns);
    out->earlier_closed =
        describe_call(build, record->earlier_closed_site, record->earlier_closed_tid, record->earlier_closed_ns);
    out->earlier_opened =
        describe_call(build, record->earlier_opened_site, record->earlier_opened_tid, record->earlier_opened_ns);
    out->suppressed_by = suppression_text(build, misuse.suppression);
  }
}

namespace {
/// For a descriptor that is still open, the kernel's answer says more than its link then ("socket:[4711]").
Text target_of(Build& build, const ledger::ExecLeak& record) {
  for (const EvaluatedFd& fd : build.evaluation.fds) {
    if (fd.fd != record.fd || fd.serial != record.serial) continue;
    Text target;
    List<Text> flags;
    describe_target(build, fd, target, flags);
    if (!target.empty()) return target;
  }
  return build.arena.copy(text_of(record.target, sizeof record.target));
}
}  // namespace

void build_exec_leaks(Build& build) {
  for (const EvaluatedExecLeak& leak : build.evaluation.exec_leaks) {
    const ledger::ExecLeak* record = build.view().exec_leak(leak.index);
    const ledger::Site* site = record ? build.view().site(record->site) : nullptr;
    ExecLeak* out = site ? build.out.exec_leaks.add(build.arena) : nullptr;
    if (!out) continue;
    out->fd = record->fd;
    out->count = leak.count;
    out->target = target_of(build, *record);
    out->program = build.arena.copy(text_of(record->program, sizeof record->program));
    out->started_by = build.function_name(record->hook);
    out->process = record->caller_pid;
    out->acquired_by = build.function_name(site->hook);
    out->age_ns = build.age_ns(record->acquired_ns);
    bool cut = false;
    out->stack = build.stacks.stack(site->node, cut);
    out->truncated = cut || (site->flags & ledger::kSiteTruncated);
    out->suppressed_by = suppression_text(build, leak.suppression);
  }
}

namespace {
/// The existing record of this program and reason; a ledger may have two of one program.
UntrackedProgram* find_untracked(Report& report, Text program, Text reason) {
  for (UntrackedProgram& one : report.untracked)
    if (one.program == program && one.reason == reason) return &one;
  return nullptr;
}
}  // namespace

void build_untracked(Build& build) {
  build.out.of_run = build.input.speaks_for_run;
  build.out.clean_processes = build.input.clean_processes;
  if (build.input.speaks_for_run) {
    for (const UntrackedProgram& one : build.input.untracked_of_run)
      if (UntrackedProgram* out = build.out.untracked.add(build.arena))
        *out = {build.arena.copy(one.program), build.arena.copy(one.reason), one.count, one.allowed};
    return;
  }
  for (uint32_t index = 0; index < build.view().untracked_count(); ++index) {
    const ledger::Untracked* record = build.view().untracked(index);
    bool is_valid = record && record->state.load(std::memory_order_acquire) == ledger::kUntrackedValid;
    uint64_t count = is_valid ? record->count.load(std::memory_order_relaxed) : 0;
    if (!count) continue;
    Text program = text_of(record->program, sizeof record->program);
    Text reason = elf::describe(static_cast<elf::Obstacle>(record->obstacle));
    UntrackedProgram* out = find_untracked(build.out, program, reason);
    if (!out && (out = build.out.untracked.add(build.arena)))
      *out = {build.arena.copy(program), reason, 0, is_named(build.input.settings->allow_untracked, program)};
    if (out) out->count += count;
  }
}

namespace {
void describe_failure(Build& build, const ledger::Failure& record, uint64_t count, Failure& out) {
  const ledger::Header& header = build.view().header();
  out.function = build.function_name(record.hook);
  out.kind = known_kind(record.kind);
  out.error = error_name(build, record.error);
  out.count = count;
  uint64_t started = header.started_monotonic_ns;
  out.first_after_ns = record.first_ns > started ? record.first_ns - started : 0;
  char time[32];
  out.first = build.arena.copy(base::format_time(header.started_realtime_ns + out.first_after_ns, time));
  out.live_then = record.live_then;
  out.thread = record.tid;
  bool cut = false;
  out.stack = build.stacks.stack(record.node, cut);
  out.truncated = cut || record.truncated != 0;
}
}  // namespace

void build_failures(Build& build) {
  for (uint32_t index = 0; index < build.view().failure_count(); ++index) {
    const ledger::Failure* failure = build.view().failure(index);
    uint64_t count = failure ? failure->count.load(std::memory_order_acquire) : 0;
    Failure* out = count ? build.out.failures.add(build.arena) : nullptr;
    if (out) describe_failure(build, *failure, count, *out);
  }
  uint32_t number = build.view().header().exhausted_by.load(std::memory_order_acquire);
  const ledger::Failure* failure = number == 0 ? nullptr : build.view().failure(number - 1);
  if (build.input.trigger != Trigger::exhaustion || !failure) return;
  build.out.exhaustion =
      Exhaustion{build.function_name(failure->hook), known_kind(failure->kind), error_name(build, failure->error)};
}

}  // namespace unfreed::report
