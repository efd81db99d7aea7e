#include "cli/running_report.h"

#include <fmt/format.h>
#include <unistd.h>

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
  if (ledger::CopyError problem = report::load_running_ledger(found.open.file.get(), pid, out.copy)) {
    error = fmt::format("{}: {}", found.path, problem.message);
    return false;
  }
  report::cover_inner_allocator(out.copy.writer(), report::find_inner_allocator(out.copy.writer()));
  return true;
}

}  // namespace

bool make_running_report(int pid, const FoundLedger& found, const report::Settings& given, Depth depth,
                         symbolize::Symbolizer& symbolizer, RunningReport& out, std::string& error) {
  if (!load(pid, found, depth, out.ledger, error)) return false;
  const ledger::View& view = out.ledger.copy.view();
  report::read_evaluation_settings(view.text(view.header().settings), out.settings);
  report::prefer_given(given, out.settings);
  bool is_given = !given.suppressions.empty();
  std::string_view files = out.settings.suppressions;
  if (!is_given && !files.empty() && found.open.user != geteuid()) {
    // Another user must not choose which files are opened here.
    out.ledger.notes.push_back("the process's own suppressions, which belong to another user, were not applied");
    files = {};
  }
  if (!out.suppressions.read(files, is_given ? NamedBy::user : NamedBy::ledger, error)) return false;
  ReportRequest request;
  request.trigger = report::Trigger::snapshot;
  request.notes = out.ledger.notes;
  request.settings = &out.settings;
  request.suppressions = out.suppressions.all();
  out.owned = make_report(view, request, symbolizer);
  return true;
}

}  // namespace unfreed::cli
