// The head of a report: process, coverage, totals.
#include <sys/wait.h>

#include "base/text.h"
#include "base/time_text.h"
#include "evaluate/build.h"
#include "evaluate/site_places.h"

namespace unfreed::report {

namespace {

constexpr std::string_view kSignalNames[] = {
    "",          "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
    "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
    "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
    "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};

bool has_ended(const ledger::Header& header) {
  return header.state.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::State::ended);
}

void ended_by_signal(Process& process, int signal) {
  process.signal = signal;
  if (signal > 0 && static_cast<size_t>(signal) < std::size(kSignalNames)) process.signal_name = kSignalNames[signal];
}

/// How the process ended, if it has.
void describe_end(const Build& build, Process& process) {
  const ledger::Header& header = build.view().header();
  int status = build.input.wait_status;
  if (status < 0 && !has_ended(header)) status = static_cast<int>(header.noted_end.load(std::memory_order_relaxed)) - 1;
  if (status < 0) {
    if (!has_ended(header)) return;
    int32_t own = header.exit_status;
    if (own < 0 && own > -128)
      ended_by_signal(process, -own);
    else
      process.exit_status = own & 0xff;
  } else if (WIFEXITED(status)) {
    process.exit_status = WEXITSTATUS(status);
  } else if (WIFSIGNALED(status)) {
    ended_by_signal(process, WTERMSIG(status));
  }
}

/// No totals of a kind that was not seen: they would read as "none".
bool is_seen(const ledger::View& view, ledger::Kind kind) {
  ledger::Coverage coverage = coverage_of(view, kind);
  return coverage != ledger::Coverage::off && coverage != ledger::Coverage::unavailable;
}

/// Calls `use(worst, value)` for each number that site rules may name.
template <class Use>
void each_site_counter(Build& build, const EvaluatedSite& site, Use use) {
  Subject subject = subject_of(site.kind);
  Totals& worst = build.out.worst_site[index_of(subject)];
  for (size_t at = 0; at < kCounterCount; ++at) {
    auto counter = static_cast<Counter>(at);
    if (kRows[at].in_site_rules & bit_of(subject)) use(worst[counter], site.value(counter));
  }
}

}  // namespace

void build_process(Build& build) {
  const ledger::View& view = build.view();
  const ledger::Header& header = view.header();
  Process& process = build.out.process;
  process.pid = header.pid;
  process.ppid = header.ppid;
  process.run = view.text(header.run);
  process.exe = view.text(header.exe);
  Text program = view.text(header.program);
  if (program != base::base_name(process.exe)) process.program = program;
  process.directory = view.text(header.directory);
  process.test = test_of_process(build);
  view.each_text(header.argv, header.argv_count,
                 [&](std::string_view argument) { process.argv.add(build.arena, argument); });
  char time[32];
  process.started = build.arena.copy(base::format_time(header.started_realtime_ns, time));
  if (build.now_ns >= header.started_monotonic_ns && build.now_ns != 0)
    process.duration_ns = build.now_ns - header.started_monotonic_ns;
  process.forked = header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagForked;
  process.attached = header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagAttached;
  describe_end(build, process);
}

void build_coverage(Build& build) {
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
    build.out.coverage[kind] = coverage_of(build.view(), static_cast<ledger::Kind>(kind));
  // A process that was killed, or that ended without libc, has not read the kernel's lists at its end.
  ledger::Coverage& fds = build.out.coverage[static_cast<size_t>(ledger::Kind::fd)];
  if (fds == ledger::Coverage::exact && build.input.trigger == Trigger::post_mortem)
    fds = ledger::Coverage::unconfirmed;
  // One that restricts its system calls may have been unable to, and what it opens past libc is then not seen.
  bool is_sandboxed = build.view().header().flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagSandboxed;
  if (fds == ledger::Coverage::exact && is_sandboxed && !build.evaluation.reconciled) fds = ledger::Coverage::partial;
}

constexpr std::string_view kEpollLate =
    "what the program has given to epoll_ctl() could not be read before its threads went on: blocks that nothing else "
    "leads to count as possibly lost";
constexpr std::string_view kInFlight =
    "requests to io_uring or aio may be under way, and only the kernel knows their data: blocks that nothing else "
    "leads "
    "to count as possibly lost";

void build_grading(Build& build) {
  const ledger::Header& header = build.view().header();
  auto state = static_cast<ledger::Grading>(header.grading.load(std::memory_order_acquire));
  if (state == ledger::Grading::none) return;
  Grading& grading = build.out.grading.emplace();
  if (state == ledger::Grading::done) {
    grading.age_ns = build.age_ns(header.graded_monotonic_ns);
    uint32_t flags = header.flags.load(std::memory_order_relaxed);
    bool is_late = flags & ledger::kHeaderFlagGradedInDoubt, is_in_flight = flags & ledger::kHeaderFlagGradedInFlight;
    base::FixedText<512> reason;
    reason.add(is_late ? kEpollLate : "").add(is_late && is_in_flight ? "; " : "").add(is_in_flight ? kInFlight : "");
    grading.reason = build.arena.copy(reason.text());
    bool is_too_large = header.retained_sizes.load() == static_cast<uint32_t>(ledger::RetainedSizes::too_large);
    if (is_too_large)
      grading.no_retained_bytes = "there are too many blocks or pointers, or it would have taken too long";
    return;
  }
  grading.state = GradingState::refused;
  base::FixedText<256> reason;
  reason.add("lost objects could not be determined: ").add(build.view().text(header.no_grading));
  grading.reason = build.arena.copy(reason.text());
}

void build_totals(Build& build) {
  for (size_t at = 0; at < kSubjectCount; ++at)
    if (is_seen(build.view(), kSubjects[at].kind)) build.out.totals[at] = build.evaluation.totals[at];
  if (build.input.totals_only) {
    for (const EvaluatedSite& site : build.evaluation.sites)
      if (site.counts()) each_site_counter(build, site, [](uint64_t& worst, uint64_t value) { worst += value; });
    return;
  }
  each_place(build.evaluation, [&](const EvaluatedPlace& place) {
    each_site_counter(build, place.sum, [](uint64_t& worst, uint64_t value) { worst = worst < value ? value : worst; });
  });
}

}  // namespace unfreed::report
