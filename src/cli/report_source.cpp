#include "cli/report_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "base/unique_fd.h"
#include "cli/command.h"
#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "cli/live_stacks.h"
#include "cli/progress.h"
#include "cli/text_file.h"
#include "kernel/program_facts.h"
#include "kernel/running_ledger.h"
#include "render/completion.h"
#include "render/read_json.h"
#include "render/series.h"

namespace unfreed::cli {

namespace {

bool is_ledger(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return false;
  char magic[sizeof ledger::kMagic];
  ssize_t got = pread(file, magic, sizeof magic, 0);
  close(file);
  return got == static_cast<ssize_t>(sizeof magic) && std::memcmp(magic, ledger::kMagic, sizeof magic) == 0;
}

}  // namespace

std::optional<LoadedLedger> load_ledger(const std::string& path, std::string& error) {
  base::UniqueFd file(base::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    error = fmt::format("{}: cannot be opened: {}", path, std::strerror(file.error()));
    return {};
  }
  return load_ledger(file.get(), path, 0, error);
}

std::optional<LoadedLedger> load_ledger(int file, const std::string& path, int pid, std::string& error) {
  LoadedLedger loaded;
  if (ledger::CopyError problem = loaded.copy.load(file)) {
    error = fmt::format("{}: {}{}{}", path, problem.message, problem.error ? ": " : "",
                        problem.error ? std::strerror(problem.error) : "");
    return {};
  }
  const ledger::Header& header = loaded.copy.view().header();
  bool is_of_here = header.pid_namespace == ledger::own_pid_namespace();
  if (!pid && is_of_here && is_running(header.pid, header.created_boottime_ns)) pid = header.pid;
  auto state = static_cast<ledger::State>(header.state.load(std::memory_order_acquire));
  if (state == ledger::State::ended) {
    loaded.trigger = report::Trigger::exit;
  } else if (pid) {
    ledger::Copy running;
    if (report::load_running_ledger(file, pid, running)) return loaded;  // it has gone just now
    loaded.copy = std::move(running);
    take_goroutines(loaded.copy, pid);
    if (std::optional<std::string> note = take_live_stacks(loaded.copy, pid, LiveStacks::all))
      loaded.notes.push_back(*note);
    loaded.trigger = report::Trigger::snapshot;
  }
  add_library_part(loaded.copy, path);
  report::cover_inner_allocator(loaded.copy.writer(), report::find_inner_allocator(loaded.copy.writer()));
  return loaded;
}

std::optional<SourcedReport> read_report(const std::string& path, symbolize::Symbolizer& symbolizer,
                                         std::string& error) {
  Progress progress(path == "-" ? "reading standard input" : "reading " + path);
  SourcedReport read;
  if (path != "-" && is_ledger(path)) {
    read.ledger = load_ledger(path, error);
    if (!read.ledger) return {};
    ReportRequest request;
    request.trigger = read.ledger->trigger;
    request.notes = read.ledger->notes;
    const ledger::View& view = read.ledger->copy.view();
    report::Settings settings;
    report::read_evaluation_settings(view.text(view.header().settings), settings);
    request.settings = &settings;
    read.owned = make_report(view, request, symbolizer);
    return read;
  }
  std::string text;
  if (!read_input_file(path, kMostInputBytes, text, error)) {
    error = fmt::format("{}: {}", path, error);
    return {};
  }
  if (render::is_series(text)) {
    if (render::read_series(text, read.owned.arena, read.owned.report, read.series.emplace(), error)) {
      render::add_growth(read.owned.report, read.owned.arena, *read.series);
      return read;
    }
    error = fmt::format("{} {}", path, error);
    return {};
  }
  if (render::read_json(text, read.owned.arena, read.owned.report, error)) return read;
  error = fmt::format("{} {}", path, error);
  return {};
}

bool read_reports(const std::vector<std::string>& paths, symbolize::Symbolizer& symbolizer,
                  std::vector<SourcedReport>& reports) {
  bool are_read = true;
  for (const std::string& path : paths) {
    std::string error;
    std::optional<SourcedReport> source = read_report(path, symbolizer, error);
    if (!source) {
      complain(error);
      are_read = false;
      continue;
    }
    // What was made from a ledger just now has every name already.
    if (!source->ledger) {
      Progress progress("looking up the source lines of " + path);
      render::complete(source->owned.report, symbolizer, source->owned.arena);
    }
    reports.push_back(std::move(*source));
  }
  return are_read;
}

}  // namespace unfreed::cli
