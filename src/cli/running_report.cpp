#include "cli/running_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstddef>

#include "kernel/program_facts.h"
#include "kernel/running_ledger.h"

namespace unfreed::cli {

symbolize::Symbolizer symbolizer_of(int pid) {
  return symbolize::Symbolizer(
      {.debug_directories = symbolize::kDebugDirectories, .root = process_folder(pid) + "/root"});
}

namespace {

bool load(int pid, const FoundLedger& found, Depth depth, LoadedLedger& out, std::string& error) {
  if (depth == Depth::stacks) {
    std::optional<LoadedLedger> loaded = load_ledger(found.open.file.get(), found.path, pid, error);
    if (loaded) out = std::move(*loaded);
    return loaded.has_value();
  }
  int file = found.open.file.get();
  ledger::CopyError problem =
      depth == Depth::as_left ? out.copy.load(file) : report::load_running_ledger(file, pid, out.copy);
  if (problem) {
    error = fmt::format("{}: {}", found.path, problem.message);
    return false;
  }
  report::cover_inner_allocator(out.copy.writer(), report::find_inner_allocator(out.copy.writer()));
  return true;
}

}  // namespace

std::string read_own_suppressions(int pid, const FoundLedger& found, std::string_view files, SuppressionFiles& out) {
  if (files.empty()) return {};
  // Another user must not choose which files are opened here.
  if (found.open.user != geteuid())
    return "the process's own suppressions, which belong to another user, were not applied";
  std::string error;
  if (out.read(files, NamedBy::ledger, error, pid)) return {};
  out = {};
  return "the process's own suppressions were not applied: " + error;
}

void doubt_broken_rules(report::Report& report) {
  for (report::RuleOutcome& one : report.rules) {
    if (!one.broken) continue;
    one.broken = false;
    one.value.reset();
    one.unchecked = "the process's own suppressions were not applied, and may cover what breaks it";
  }
}

bool make_running_report(int pid, const FoundLedger& found, const report::Settings& given, Depth depth,
                         symbolize::Symbolizer& symbolizer, RunningReport& out, std::string& error) {
  if (!load(pid, found, depth, out.ledger, error)) return false;
  const ledger::View& view = out.ledger.copy.view();
  report::read_evaluation_settings(view.text(view.header().settings), out.settings);
  report::prefer_given(given, out.settings);
  bool is_given = !given.suppressions.empty();
  if (is_given && !out.suppressions.read(given.suppressions, NamedBy::user, error)) return false;
  if (!is_given) out.without_own = read_own_suppressions(pid, found, out.settings.suppressions, out.suppressions);
  if (!out.without_own.empty()) out.ledger.notes.push_back(out.without_own);
  ReportRequest request;
  request.trigger = report::Trigger::snapshot;
  request.notes = out.ledger.notes;
  request.settings = &out.settings;
  request.suppressions = out.suppressions.all();
  out.owned = make_report(view, request, symbolizer);
  if (!out.without_own.empty()) doubt_broken_rules(out.owned.report);
  return true;
}

namespace {
/// Is it being tracked just now? A ledger that cannot be read is.
bool is_live(const FoundLedger& found) {
  uint32_t state = 0;
  if (pread(found.open.file.get(), &state, sizeof state, offsetof(ledger::Header, state)) != sizeof state) return true;
  switch (static_cast<ledger::State>(state)) {
    case ledger::State::starting:
    case ledger::State::ended:
    case ledger::State::replaced:
      return false;
    default:
      return true;
  }
}
}  // namespace

Look look_at(int pid, const FoundLedger& found, const report::Settings& given, symbolize::Symbolizer& symbolizer,
             RunningReport& out, std::string& error) {
  if (!found.open.file || !is_live(found)) return Look::passing;
  if (!make_running_report(pid, found, given, Depth::ledger, symbolizer, out, error))
    return is_live(found) && is_running(pid, 0) ? Look::failed : Look::passing;
  uint32_t state = out.ledger.copy.view().header().state.load(std::memory_order_acquire);
  if (state != static_cast<uint32_t>(ledger::State::live)) return Look::passing;
  out.owned.report.process.pid = pid;
  return Look::made;
}

}  // namespace unfreed::cli
