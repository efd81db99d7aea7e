#include "cli/report_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "cli/live_stacks.h"
#include "cli/text_file.h"
#include "report/running_ledger.h"

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
  LoadedLedger loaded;
  if (ledger::CopyError problem = loaded.copy.load(path.c_str())) {
    error = fmt::format("{}: {}{}{}", path, problem.message, problem.error ? ": " : "",
                        problem.error ? std::strerror(problem.error) : "");
    return {};
  }
  const ledger::Header& header = loaded.copy.view().header();
  auto state = static_cast<ledger::State>(header.state.load(std::memory_order_acquire));
  if (state == ledger::State::ended) {
    loaded.trigger = report::Trigger::exit;
  } else if (int pid = header.pid; is_running(pid, header.process_start_ticks)) {
    ledger::Copy running;
    if (report::load_running_ledger(path.c_str(), pid, running)) return loaded;  // it has gone just now
    loaded.copy = std::move(running);
    if (std::optional<std::string> note = take_live_stacks(loaded.copy, pid, LiveStacks::all))
      loaded.notes.push_back(*note);
    loaded.trigger = report::Trigger::snapshot;
  }
  return loaded;
}

std::optional<std::string> read_report_text(const std::string& path, symbolize::Symbolizer& symbolizer,
                                            std::string& error) {
  std::string text;
  if (path != "-" && is_ledger(path)) {
    std::optional<LoadedLedger> loaded = load_ledger(path, error);
    if (!loaded) return {};
    ReportRequest request;
    request.trigger = loaded->trigger;
    request.notes = loaded->notes;
    return make_report(loaded->copy.view(), request, symbolizer).json;
  }
  if (!read_input_file(path, kMostInputBytes, text, error)) {
    error = fmt::format("{}: {}", path, error);
    return {};
  }
  return text;
}

std::optional<render::Report> read_report(const std::string& path, symbolize::Symbolizer& symbolizer,
                                          std::string& error) {
  std::optional<std::string> text = read_report_text(path, symbolizer, error);
  if (!text) return {};
  std::optional<render::Report> report = render::parse_report(*text, error);
  if (!report) error = fmt::format("{} {}", path, error);
  return report;
}

}  // namespace unfreed::cli
