// The head of a report: process, coverage, totals; and its tail: rules, modules.
#include <sys/wait.h>

#include "base/text.h"
#include "report/emit.h"

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

void emit_arguments(Emission& emission) {
  const ledger::View& view = emission.view();
  emission.json.key("argv").begin_array(Layout::compact);
  ledger::StringRef ref = view.header().argv;
  for (uint32_t left = view.header().argv_count; left > 0 && ref != 0 && ref < view.text_bytes(); --left) {
    std::string_view argument = view.text(ref);
    emission.json.value(argument);
    ref += static_cast<ledger::StringRef>(argument.size()) + 1;
  }
  emission.json.end_array();
}

void emit_signal(Emission& emission, int signal) {
  emission.json.member("signal", static_cast<int32_t>(signal));
  if (signal > 0 && static_cast<size_t>(signal) < sizeof kSignalNames / sizeof kSignalNames[0])
    emission.json.member("signal_name", kSignalNames[signal]);
}

/// How the process ended, if it has.
void emit_end(Emission& emission) {
  const ledger::Header& header = emission.view().header();
  int status = emission.input.wait_status;
  if (status >= 0 && WIFEXITED(status)) {
    emission.json.member("exit_status", static_cast<int32_t>(WEXITSTATUS(status)));
  } else if (status >= 0 && WIFSIGNALED(status)) {
    emit_signal(emission, WTERMSIG(status));
  } else if (status < 0 && has_ended(header)) {
    int32_t own = header.exit_status;
    own<0 && own> - 128 ? emit_signal(emission, -own) : emission.json.member("exit_status", own & 0xff);
  }
}

std::string_view coverage_name(ledger::Coverage coverage) {
  switch (coverage) {
    case ledger::Coverage::exact:
      return "exact";
    case ledger::Coverage::sampled:
      return "sampled";
    case ledger::Coverage::partial:
      return "partial";
    case ledger::Coverage::unavailable:
      return "unavailable";
    default:
      return "off";
  }
}

/// Totals of a kind that was not seen would read as "none".
bool has_totals(const ledger::View& view, ledger::Kind kind) {
  ledger::Coverage coverage = coverage_of(view, kind);
  return coverage != ledger::Coverage::off && coverage != ledger::Coverage::unavailable;
}

void emit_fd_totals(JsonText& json, const FdTotals& totals) {
  json.key("fd").begin_object(Layout::compact);
  json.member("live", totals.live);
  json.member("total", totals.total);
  json.member("peak", totals.peak);
  json.member("open", totals.open);
  json.member("inherited", totals.inherited);
  json.member("received", totals.received);
  json.member("unattributed", totals.unattributed);
  json.member("standard", totals.standard);
  json.member("libc", totals.libc);
  json.member("ignored", totals.ignored);
  json.member("suppressed", totals.suppressed);
  json.member("closed_unseen", totals.closed_unseen);
  json.end_object();
}

void emit_heap_totals(JsonText& json, const HeapTotals& totals) {
  json.key("heap").begin_object(Layout::compact);
  json.member("live", totals.live);
  json.member("bytes", totals.bytes);
  json.member("total", totals.total);
  json.member("total_bytes", totals.total_bytes);
  json.member("libc", totals.libc);
  json.member("libc_bytes", totals.libc_bytes);
  json.member("suppressed", totals.suppressed);
  json.member("suppressed_bytes", totals.suppressed_bytes);
  json.member("foreign_released", totals.foreign_released);
  if (totals.sample_bytes) {
    json.member("sample_bytes", totals.sample_bytes);
    json.member("live_error", totals.live_error);
    json.member("bytes_error", totals.bytes_error);
  }
  json.end_object();
}

void emit_task_totals(JsonText& json, const TaskTotals& totals) {
  json.member("live", totals.live);
  json.member("running", totals.running);
  json.member("total", totals.total);
  json.member("peak", totals.peak);
  json.member("unattributed", totals.unattributed);
  json.member("ignored", totals.ignored);
  json.member("suppressed", totals.suppressed);
}

void emit_thread_totals(JsonText& json, const ThreadTotals& totals) {
  json.key("thread").begin_object(Layout::compact);
  emit_task_totals(json, totals);
  json.member("detached_running", totals.detached);
  json.member("libc", totals.libc);
  json.end_object();
}

void emit_child_totals(JsonText& json, const ChildTotals& totals) {
  json.key("child").begin_object(Layout::compact);
  emit_task_totals(json, totals);
  json.member("unknown", totals.unknown);
  json.member("reaped_unseen", totals.reaped_unseen);
  json.member("inherited", totals.inherited);
  json.end_object();
}

void emit_misuse_totals(JsonText& json, const MisuseTotals& totals, const CrossingTotals& crossings) {
  auto of = [&](ledger::MisuseKind kind) { return totals.by_kind[static_cast<size_t>(kind)]; };
  json.key("misuse").begin_object(Layout::compact);
  json.member("live", totals.live);
  json.member("double_close", of(ledger::MisuseKind::double_close));
  json.member("not_open", of(ledger::MisuseKind::not_open));
  json.member("behind_owner", of(ledger::MisuseKind::behind_owner));
  json.member("stale_owner", of(ledger::MisuseKind::stale_owner));
  json.member("suppressed", totals.suppressed);
  json.end_object();
  json.key("inherited_by_child").begin_object(Layout::compact);
  json.member("live", crossings.live);
  json.member("suppressed", crossings.suppressed);
  json.end_object();
}

}  // namespace

std::string_view format_time(uint64_t realtime_ns, std::span<char> out) {
  // Days to a date in the proleptic Gregorian calendar, counting years from March (Hinnant, "chrono-compatible
  // low-level date algorithms").
  uint64_t seconds = realtime_ns / 1'000'000'000;
  uint64_t days = seconds / 86400 + 719468;
  uint64_t era = days / 146097;
  uint64_t day_of_era = days % 146097;
  uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  uint64_t shifted_month = (5 * day_of_year + 2) / 153;
  uint64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  uint64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  uint64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  base::TextBuilder text(out);
  auto padded = [&](uint64_t value, uint64_t width_unit) {
    for (; width_unit > 1 && value < width_unit; width_unit /= 10) text.add('0');
    text.add_number(value);
  };
  padded(year, 1000);
  text.add('-');
  padded(month, 10);
  text.add('-');
  padded(day, 10);
  text.add('T');
  padded(seconds / 3600 % 24, 10);
  text.add(':');
  padded(seconds / 60 % 60, 10);
  text.add(':');
  padded(seconds % 60, 10);
  text.add('.');
  padded(realtime_ns % 1'000'000'000, 100'000'000);
  return text.add('Z').text();
}

void emit_process(Emission& emission) {
  const ledger::View& view = emission.view();
  const ledger::Header& header = view.header();
  JsonText& json = emission.json;
  json.key("process").begin_object();
  json.member("pid", header.pid);
  json.member("ppid", header.ppid);
  json.member("exe", view.text(header.exe));
  emit_arguments(emission);
  char time[32];
  json.member("started", format_time(header.started_realtime_ns, time));
  if (emission.now_ns >= header.started_monotonic_ns && emission.now_ns != 0)
    json.member("duration_ns", emission.now_ns - header.started_monotonic_ns);
  json.member("forked", (header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagForked) != 0);
  emit_end(emission);
  json.end_object();
}

void emit_coverage(Emission& emission) {
  emission.json.key("coverage").begin_object(Layout::compact);
  for (size_t index = 0; index < ledger::kKindCount; ++index) {
    auto kind = static_cast<ledger::Kind>(index);
    emission.json.member(kind_name(kind), coverage_name(coverage_of(emission.view(), kind)));
  }
  emission.json.end_object();
}

void emit_totals(Emission& emission) {
  const Graded& graded = emission.graded;
  emission.json.key("totals").begin_object();
  if (has_totals(emission.view(), ledger::Kind::fd)) emit_fd_totals(emission.json, graded.fd);
  if (has_totals(emission.view(), ledger::Kind::heap)) emit_heap_totals(emission.json, graded.heap);
  if (has_totals(emission.view(), ledger::Kind::thread)) emit_thread_totals(emission.json, graded.thread);
  if (has_totals(emission.view(), ledger::Kind::child)) emit_child_totals(emission.json, graded.child);
  if (has_totals(emission.view(), ledger::Kind::fd)) emit_misuse_totals(emission.json, graded.misuse, graded.crossing);
  emission.json.end_object();
}

void emit_rules(Emission& emission, std::span<const RuleOutcome> outcomes) {
  JsonText& json = emission.json;
  json.key("rules").begin_array();
  for (size_t index = 0; index < outcomes.size(); ++index) {
    const RuleOutcome& outcome = outcomes[index];
    json.begin_object(Layout::compact);
    json.member("rule", emission.input.rules[index].text);
    if (outcome.checked) json.member("value", outcome.value);
    json.member("broken", outcome.broken);
    if (!outcome.checked) json.member("unchecked", outcome.reason);
    if (outcome.site != 0) json.member("site", outcome.site);
    json.end_object();
  }
  json.end_array();
}

void emit_modules(Emission& emission) {
  const ledger::View& view = emission.view();
  JsonText& json = emission.json;
  json.key("modules").begin_array();
  for (uint32_t index = 1; index < emission.modules.size(); ++index) {
    const ledger::Module* module = view.module(index);
    if (!module || !(emission.modules[index] || (module->flags & ledger::kModuleMain))) continue;
    json.begin_object(Layout::compact);
    json.member("path", view.text(module->path));
    if (module->build_id_bytes > 0) json.key("build_id").hex_value(view.build_id_bytes(*module));
    json.member("base", module->base);
    json.member("size", module->end > module->start ? module->end - module->start : uint64_t{0});
    json.end_object();
  }
  json.end_array();
}

}  // namespace unfreed::report
