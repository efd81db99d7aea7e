#include "cli/process_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/syscall.h"
#include "cli/find_ledger.h"
#include "cli/ledger_report.h"
#include "cli/report_source.h"
#include "cli/running_report.h"
#include "kernel/program_facts.h"
#include "kernel/running_ledger.h"

namespace unfreed::cli {

std::string series_key(const ledger::View& view, uint64_t inode) {
  return fmt::format("{}-{:x}-{:x}", view.header().pid, view.header().created_boottime_ns, inode);
}

uint64_t descriptor_limit(int pid) {
  rlimit limit{};
  bool is_limited = prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return is_limited ? limit.rlim_cur : 0;
}

ProcessWatch::ProcessWatch(int pid, const report::Settings& settings, const SuppressionFiles* suppressions,
                           EarlierSeries earlier)
    : pid_(pid), settings_(settings), suppressions_(suppressions), earlier_(earlier), symbolizer_(symbolizer_of(pid)) {}

ProcessWatch::Outcome ProcessWatch::look(const std::string& output, std::string& error) {
  FoundLedger found = find_ledger(pid_);
  struct stat status {};
  if (!found.open.file || fstat(found.open.file.get(), &status) != 0) {
    error = fmt::format("process {} is not running, or not tracked by unfreed", pid_);
    return is_running(pid_, 0) ? Outcome::skipped : Outcome::gone;
  }
  ledger::Copy copy;
  if (ledger::CopyError problem = report::load_running_ledger(found.open.file.get(), pid_, copy)) {
    error = fmt::format("{}: {}", found.path, problem.message);
    return Outcome::gone;
  }
  add_library_part(copy, found.path);
  report::cover_inner_allocator(copy.writer(), report::find_inner_allocator(copy.writer()));
  const ledger::View& view = copy.view();
  if (view.header().state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::State::live)) {
    // It is just starting, ending or executing another program.
    error = fmt::format("process {} is just starting or ending", pid_);
    return Outcome::skipped;
  }
  uint64_t now = base::monotonic_ns();
  report::Settings effective;
  report::read_evaluation_settings(view.text(view.header().settings), effective);
  report::prefer_given(settings_, effective);
  effective.rules = {};
  ReportRequest request;
  request.trigger = report::Trigger::snapshot;
  request.settings = &effective;
  OwnedReport plain = make_plain_report(view, request);
  std::string key = series_key(view, status.st_ino);
  OwnedReport full;
  bool needs_full = key != key_ || writer_.needs_full(plain.report);
  key_ = key;
  if (needs_full) {
    SuppressionFiles own;
    if (!suppressions_) without_own_ = read_own_suppressions(pid_, found, effective.suppressions, own);
    if (!without_own_.empty()) request.notes.push_back(without_own_);
    request.suppressions = suppressions_ ? suppressions_->all() : own.all();
    full = make_report(view, request, symbolizer_);
  }
  if (path_.empty()) {
    path_ = output_path(view, output, 1, error);
    if (path_.empty() || !open_series(error)) {
      error = fmt::format("series {} cannot be written: {}", path_.empty() ? output : path_, error);
      return Outcome::failed;
    }
  }
  std::string text = writer_.add(now, key, descriptor_limit(pid_), plain.report, needs_full ? &full.report : nullptr);
  if (append(text, error)) return Outcome::done;
  error = fmt::format("series {} cannot be written: {}", path_, error);
  return Outcome::failed;
}

/// An existing file is only changed if it is a series.
bool ProcessWatch::open_series(std::string& error) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  file_ = base::UniqueFd(open(path_.c_str(), kFlags, 0600));
  struct stat status {};
  if (!file_ || fstat(file_.get(), &status) != 0) {
    error = std::strerror(errno);
    return false;
  }
  std::string start(render::kSeriesStart.size(), '\0');
  bool is_regular = S_ISREG(status.st_mode);
  bool is_series = is_regular &&
                   pread(file_.get(), start.data(), start.size(), 0) == static_cast<ssize_t>(start.size()) &&
                   render::is_series(start);
  if (!is_series && !(is_regular && status.st_size == 0)) {
    error = "there is a file that is not a series";
    return false;
  }
  if (is_series && earlier_ == EarlierSeries::replaced && ftruncate(file_.get(), 0) == 0) is_series = false;
  if (!is_series) return append(render::kSeriesStart, error);
  // If a killed writer left its last line incomplete, the next line would be appended to that.
  off_t end = status.st_size;
  for (char last = 0; end > 0 && pread(file_.get(), &last, 1, end - 1) == 1 && last != '\n';) --end;
  return ftruncate(file_.get(), end) == 0;
}

/// All of it or nothing, unless the command is killed.
bool ProcessWatch::append(std::string_view text, std::string& error) {
  struct stat status {};
  if (fstat(file_.get(), &status) != 0) return false;
  size_t written = 0;
  while (written < text.size()) {
    ssize_t got = write(file_.get(), text.data() + written, text.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    written += static_cast<size_t>(got);
  }
  if (written == text.size()) return true;
  error = std::strerror(errno);
  if (ftruncate(file_.get(), status.st_size) != 0) error += " (and it ends with an incomplete line)";
  return false;
}

}  // namespace unfreed::cli
