#include "cli/tree_report.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>

#include "base/syscall.h"
#include "base/time_text.h"
#include "cli/child.h"
#include "cli/command.h"
#include "cli/process_watch.h"
#include "cli/progress.h"
#include "cli/report_source.h"
#include "cli/text_file.h"
#include "kernel/program_facts.h"
#include "ledger/copy.h"
#include "render/completion.h"
#include "render/function_names.h"
#include "render/json.h"
#include "render/place_text.h"
#include "render/series.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

constexpr size_t kMostOthersShown = 10;

/// For as long as `programs` are there.
std::vector<report::UntrackedProgram> as_reported(const std::vector<UntrackedProgram>& programs) {
  std::vector<report::UntrackedProgram> reported;
  reported.reserve(programs.size());
  for (const UntrackedProgram& one : programs) reported.push_back({one.program, one.reason, one.count, one.allowed});
  return reported;
}

/// Worth a report of its own: a rule is broken or unchecked, or something is held.
bool is_news(const report::Report& report) {
  return report::is_broken(report) || report::is_unchecked(report) || report::holds_something(report);
}

}  // namespace

void TreeReport::add_other(const LedgerFile& file, bool post_mortem) {
  add(file, false, post_mortem ? report::Trigger::post_mortem : report::Trigger::exit, -1);
}

void TreeReport::add_command(const LedgerFile& file, bool post_mortem, int wait_status) {
  add(file, true, post_mortem ? report::Trigger::post_mortem : report::Trigger::exit, wait_status);
}

void TreeReport::add_attached(const LedgerFile& file, bool is_target) {
  std::optional<LedgerFacts> facts = read_ledger_facts(file);
  bool has_ended = facts && facts->state == ledger::State::ended;
  add(file, is_target, has_ended ? report::Trigger::exit : report::Trigger::snapshot, -1);
}

void TreeReport::add_running(int pid, bool is_traced) {
  std::string name;
  std::string none;
  read_regular_file(fmt::format("/proc/{}/comm", pid), 64, name, none);
  if (name.ends_with('\n')) name.pop_back();
  std::string text = fmt::format("{} (pid {}{})", name.empty() ? "process" : render::printable(name), pid,
                                 is_traced ? "; traced, so no report on it will follow" : "");
  if (std::find(running_.begin(), running_.end(), text) == running_.end()) running_.push_back(text);
}

namespace {

/// What a report was made for, while its process ran.
std::string describe_occasion(const report::Report& report) {
  if (report.exhaustion)
    return fmt::format("a limit was reached: {} failed with {}", render::printable(report.exhaustion->function),
                       render::printable(report.exhaustion->error));
  if (report.threshold) return render::describe_threshold(*report.threshold);
  return report.trigger == report::Trigger::signal ? "requested by a signal" : "requested by the program";
}

std::string with_pid(const std::string& path, int pid) {
  std::array<char, PATH_MAX> longer;
  base::TextBuilder text(longer);
  report::add_with_pid(text, path, pid, 0);
  return std::string(text.text());
}

bool is_made_while_running(const report::Report& report) {
  return report.trigger == report::Trigger::signal || report.trigger == report::Trigger::api ||
         report.trigger == report::Trigger::exhaustion || report.trigger == report::Trigger::threshold;
}

}  // namespace

/// A process that makes a report while it runs writes it without source lines, and waits no longer than for that. They
/// are filled in here, where a name of its own (%n, or because a limit was reached) has kept it from being replaced.
void TreeReport::complete_earlier(const ledger::View& view, bool is_command) {
  constexpr uint32_t kMost = 1000;
  uint32_t count = view.header().report_count.load(std::memory_order_relaxed);
  bool has_number = report::has_number(output_template_);
  for (uint32_t number = count > kMost ? count - kMost : 1; number <= count; ++number) {
    std::string error;
    std::string path = output_path(view, output_template_, number, error);
    if (path.empty()) return;
    base::FixedText<PATH_MAX> limit;
    report::add_with_limit(limit, path, has_number ? 1 : number);
    for (std::string one : {has_number ? path : std::string(), std::string(limit.text())}) {
      if (!is_command && !report::has_pid(output_template_)) one = with_pid(one, view.header().pid);
      complete_earlier(view, one);
    }
  }
}

/// The report may be missing: written elsewhere, or removed.
void TreeReport::complete_earlier(const ledger::View& view, const std::string& path) {
  std::string error;
  std::optional<SourcedReport> read = path.empty() ? std::nullopt : read_report(path, symbolizer_, error);
  if (!read || read->ledger) return;
  report::Report& report = read->owned.report;
  if (!is_made_while_running(report) || report.process.pid != view.header().pid) return;
  render::complete(report, symbolizer_, read->owned.arena);
  if (!write_report_file(path, render::write_json(report, report::StackForm::file), {}, error)) return;
  Line line;
  line.text = describe_occasion(report);
  line.report = path;
  earlier_.push_back(std::move(line));
}

void TreeReport::add(const LedgerFile& file, bool is_command, report::Trigger trigger, int wait_status) {
  const std::string ledger_path = file.path();
  if (kept_.contains(ledger_path)) return;
  OpenLedger open = open_ledger(file);
  if (!open.file && !is_there(file)) return;  // another process has removed it
  ledger::Copy copy;
  ledger::CopyError error =
      open.file ? copy.load(open.file.get()) : ledger::CopyError{"does not belong to this user", 0};
  if (error) {
    complain(fmt::format("{}: the ledger of process {} cannot be read: {}{}{}", ledger_path, file.name.pid,
                         error.message, error.error ? ": " : "", error.error ? std::strerror(error.error) : ""));
    failed_ = true;
    kept_.insert(ledger_path);
    return;
  }
  add_library_part(copy, file);
  const ledger::View& view = copy.view();
  cover_program(copy.writer(), std::string(view.text(view.header().exe)));
  complete_earlier(view, is_command);
  untracked_.add_off_board(view);
  ++tracked_;
  has_command_ = has_command_ || is_command;
  for (ledger::Dropped reason : {ledger::Dropped::children_untracked, ledger::Dropped::children_apart})
    unseen_ += view.header().dropped[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
  ReportRequest request;
  request.trigger = trigger;
  request.settings = &settings_;
  request.most_sites = settings_.top;
  request.suppressions = suppressions_.all();
  request.wait_status = wait_status;
  request.speaks_for_run = is_command;
  if (is_command) {
    request.clean_processes = clean_;
    request.still_running = fmt::format("{}", fmt::join(running_, ", "));
  }
  std::vector<UntrackedProgram> untracked = is_command ? untracked_.list() : std::vector<UntrackedProgram>();
  std::vector<report::UntrackedProgram> untracked_of_run = as_reported(untracked);
  request.untracked_of_run = untracked_of_run;
  untracked_.add_tracked(view.header().pid, view.header().started_monotonic_ns);
  if (!is_command && !all_reports_) {
    OwnedReport first = make_totals(view, request);
    judged_ = judged_ || !first.report.process.outside_rules;
    if (!is_news(first.report)) {
      count_clean(first.report);
      remove_series(view.header().pid);
      remove_ledger(file);
      return;
    }
  }
  // A limit on the command (ulimit -v) is the launcher's, too: frames without names are better than no report.
  try {
    report_on(file, view, request, is_command);
  } catch (const std::bad_alloc&) {
    symbolizer_.give_up();
    try {
      report_on(file, view, request, is_command);
    } catch (const std::bad_alloc&) {
      complain(fmt::format("process {} cannot be reported: there is not enough memory; its ledger is kept: {}",
                           file.name.pid, ledger_path));
      failed_ = true;
      kept_.insert(ledger_path);
    }
  }
}

void TreeReport::report_on(const LedgerFile& file, const ledger::View& view, const ReportRequest& request,
                           bool is_command) {
  OwnedReport made;
  {
    // While CMD runs, the terminal is its own.
    std::optional<Progress> progress;
    if (is_command) progress.emplace("making the report");
    made = make_report(view, request, symbolizer_);
    add_growth(file, view, made);
  }
  const report::Report& report = made.report;
  note_suppressions(report);
  broken_ = broken_ || report::is_broken(report);
  judged_ = judged_ || !report.process.outside_rules;
  unchecked_ = unchecked_ || report::is_unchecked(report);
  bool is_wanted = is_command || all_reports_ || is_news(report);
  if (!is_wanted) {
    count_clean(report);
    remove_series(view.header().pid);
  }
  std::string path;
  std::string problem;
  if (is_wanted && !write(view, is_command, report, path, problem)) {
    complain(fmt::format("report {} cannot be written: {}; the ledger is kept: {}", path, problem, file.path()));
    failed_ = true;
    kept_.insert(file.path());
    path.clear();
  } else {
    remove_ledger(file);
  }
  if (is_command)
    show_command(report, path);
  else if (is_wanted)
    describe_other(report, path);
}

void TreeReport::note_suppressions(const report::Report& report) {
  if (suppressions_.all().empty()) return;
  auto note = [this](report::Text line) {
    if (!line.empty()) used_suppressions_.emplace(line);
  };
  for (const report::Site& site : report.sites) {
    note(site.suppressed_by);
    note(site.exceeds);
  }
  for (const report::Misuse& misuse : report.misuse) note(misuse.suppressed_by);
  for (const report::ExecLeak& leak : report.exec_leaks) note(leak.suppressed_by);
}

/// Only those in unfreed's own form: files for other tools cover much that a program does not do in every run.
std::string TreeReport::describe_unused_suppressions() const {
  constexpr size_t kMostShown = 5;
  std::string names;
  size_t count = 0;
  // What still runs, or could not be tracked, may be what they are for.
  if (!running_.empty() || !tracked_ || untracked_.any_missed()) return {};
  for (const report::Suppression& one : suppressions_.all()) {
    if (one.substring || one.valgrind || used_suppressions_.contains(std::string(one.text))) continue;
    if (++count <= kMostShown) names += fmt::format("{}{}", count > 1 ? ", " : "", render::printable(one.text));
  }
  if (!count) return {};
  return fmt::format("\n{} nothing: {}{}\n", count == 1 ? "this suppression covered" : "these suppressions covered",
                     names, count > kMostShown ? fmt::format(" and {} more", count - kMostShown) : "");
}

std::string TreeReport::series_template(int pid, bool is_command) const {
  std::string path = output_template_;
  if (path == "-") path = report::kDefaultOutput;
  if (!is_command && !report::has_pid(path)) path = with_pid(path, pid);
  if (path.ends_with(".json")) path.resize(path.size() - std::strlen(".json"));
  return path + ".series";
}

/// What became of its call sites while it ran, if it was looked at.
void TreeReport::add_growth(const LedgerFile& file, const ledger::View& view, OwnedReport& made) const {
  auto recorded = series_.find(view.header().pid);
  struct stat status {};
  OpenLedger open = recorded == series_.end() ? OpenLedger() : open_ledger(file);
  if (!open.file || fstat(open.file.get(), &status) != 0) return;
  std::string text, error;
  OwnedReport looks;
  render::Series series;
  if (!read_regular_file(recorded->second, kMostInputBytes, text, error) || !render::is_series(text)) return;
  if (!render::read_series(text, looks.arena, looks.report, series, error)) return;
  // It may have executed another program, which has not been looked at.
  if (series.key != series_key(view, status.st_ino)) return;
  report::Report& report = made.report;
  render::add_growth(report, made.arena, series);
  for (size_t at = 0; at < std::min<size_t>(report.rules.size(), settings_.rules.count); ++at)
    if (settings_.rules.rules[at].counter == report::Counter::growth)
      report.rules[at] = report::evaluate_rule(settings_.rules.rules[at], report);
}

void TreeReport::remove_series(int pid) {
  auto recorded = series_.find(pid);
  if (recorded == series_.end()) return;
  unlink(recorded->second.c_str());
  series_.erase(recorded);
}

void TreeReport::add_replaced(const LedgerFile& file) {
  ledger::Copy copy;
  OpenLedger open = open_ledger(file);
  if (open.file && !copy.load(open.file.get())) untracked_.add_off_board(copy.view());
  remove_ledger(file);
}

/// A build runs one compiler a thousand times: its file is looked at once.
void TreeReport::cover_program(const ledger::Writer& writer, const std::string& exe) {
  auto found = allocators_.find(exe);
  if (found == allocators_.end()) found = allocators_.emplace(exe, report::find_inner_allocator(writer)).first;
  report::cover_inner_allocator(writer, found->second);
}

void TreeReport::show_command(const report::Report& report, const std::string& path) {
  render::TextOptions options;
  options.colour = colour_;
  command_summary_ = render::render_text(report, options);
  command_path_ = path;
}

void TreeReport::add_command_without_ledger(const std::vector<std::string>& words, int pid, uint64_t started_ns,
                                            int wait_status) {
  OwnedReport made;
  report::Report& report = made.report;
  report.trigger = report::Trigger::post_mortem;
  report.complete = false;
  report.of_run = true;
  report.clean_processes = clean_;
  report.notes.add(made.arena, "the command was not tracked: what it held is unknown");
  report.process.pid = pid;
  report.process.ppid = getpid();
  std::string exe = program_path(words[0]);
  report.process.exe = exe;
  for (const std::string& word : words) report.process.argv.add(made.arena, report::Text(word));
  uint64_t now = base::monotonic_ns();
  char time[40];
  report.process.started = base::format_time(base::realtime_ns() - (now - started_ns), time);
  report.process.duration_ns = now - started_ns;
  if (WIFSIGNALED(wait_status))
    report.process.signal = WTERMSIG(wait_status);
  else
    report.process.exit_status = WEXITSTATUS(wait_status);
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
    if (settings_.kinds >> kind & 1) report.coverage[kind] = ledger::Coverage::unavailable;
  std::vector<UntrackedProgram> untracked = untracked_.list();
  for (const report::UntrackedProgram& one : as_reported(untracked)) report.untracked.add(made.arena, one);
  for (const report::Rule& rule : settings_.rules.all())
    report.rules.add(made.arena, report::evaluate_rule(rule, report));
  report.rules_asked = settings_.rules.count;
  std::array<char, PATH_MAX> text;
  std::string path(text.data(), report::expand_output(output_template_, {}, exe, pid, 1, text));
  report::Author author;
  author.pid = pid;
  author.started = report.process.started;
  OutputOptions options;
  options.replaces_anything = settings_.force;
  std::string error = "the file name is too long";
  std::string json = render::write_json(report, report::StackForm::file);
  if (path.empty() || !write_process_report(author, output_template_, json, options, path, error)) {
    complain(fmt::format("report {} cannot be written: {}", path.empty() ? output_template_ : path, error));
    failed_ = true;
    path.clear();
  }
  show_command(report, path);
}

bool TreeReport::write(const ledger::View& view, bool is_command, const report::Report& report, std::string& path,
                       std::string& error) {
  uint32_t number = view.header().report_count.load(std::memory_order_relaxed) + 1;
  path = output_path(view, output_template_, number, error);
  if (path.empty()) {
    path = output_template_;
    return false;
  }
  OutputOptions options;
  options.replaces_anything = settings_.force;
  std::array<char, 32> started;
  report::Author author = report::author_of(view, started);
  author.is_first = is_command;
  return write_process_report(author, output_template_, render::write_json(report, report::StackForm::file), options,
                              path, error);
}

namespace {

/// "worker --job 3", which must not fill the screen.
std::string describe_arguments(const report::Process& process) {
  constexpr size_t kMostColumns = 100;
  std::string text;
  for (report::Text argument : process.argv) text += (text.empty() ? "" : " ") + std::string(argument);
  return render::cut_to(render::printable(text), kMostColumns);
}

/// The worst call site of what each broken rule is about, each once; of anything that is held, if no rule is about a
/// call site.
std::vector<const render::Place*> worst_places(const report::Report& report, const std::vector<render::Place>& places) {
  std::vector<const render::Place*> worst;
  auto add_first = [&](auto&& is_meant) {
    auto first = std::find_if(places.begin(), places.end(),
                              [&](const render::Place& one) { return one.counts() && is_meant(one); });
    if (first != places.end() && std::find(worst.begin(), worst.end(), &*first) == worst.end())
      worst.push_back(&*first);
  };
  for (const report::RuleOutcome& rule : report.rules)
    if (rule.broken) add_first([&](const render::Place& one) { return render::is_about(rule, one.site->kind); });
  if (worst.empty()) add_first([](const render::Place&) { return true; });
  return worst;
}

}  // namespace

void TreeReport::describe_other(const report::Report& report, const std::string& path) {
  render::TextOptions options;
  options.colour = colour_;
  std::string verdicts;
  for (const report::RuleOutcome& rule : report.rules)
    if (rule.broken || !rule.is_checked())
      verdicts += (verdicts.empty() ? ": " : "; ") + render::describe_verdict(rule);
  bool is_excused = report.process.outside_rules && report::was_killed(report);
  if (verdicts.empty()) verdicts = " holds " + render::describe_held(report);
  if (is_excused) verdicts += " (it was killed: no rule applies to it)";
  Line line;
  line.process = render::describe_process(report.process);
  line.pid = static_cast<int>(report.process.pid);
  line.report = path;
  line.is_outside_rules = report.process.outside_rules;
  std::string arguments = describe_arguments(report.process);
  bool has_more = report.process.argv.size() > 1;
  line.text = verdicts + "\n" + (has_more ? "    started as: " + arguments + "\n" : "");
  // Equal processes need not have run for equally long, and have files of their own.
  line.kind = fmt::format("{}\n{}", report.process.exe, verdicts);
  if (report::is_broken(report)) {
    std::vector<render::Place> places = render::list_places(report);
    for (const render::Place* one : worst_places(report, places)) {
      line.places += render::render_place(*one, options, "    ");
      line.kind += fmt::format("\n{} {} {} {}", one->site->signature, one->live, one->bytes, one->lost);
    }
  }
  others_.push_back(std::move(line));
}

/// Puts together processes whose lines would read the same.
std::string TreeReport::describe_others() const {
  std::vector<std::vector<const Line*>> groups;
  std::map<std::string_view, size_t> known;
  for (const Line& line : others_) {
    auto [group, is_new] = known.try_emplace(line.kind, groups.size());
    if (is_new) groups.emplace_back();
    groups[group->second].push_back(&line);
  }
  std::string text = groups.empty() ? "" : "\nother processes:\n";
  for (size_t at = 0; at < std::min(groups.size(), kMostOthersShown); ++at) {
    const auto& group = groups[at];
    text += "  " + group[0]->process + group[0]->text + group[0]->places;
    if (group.size() == 1) continue;
    std::string pids;
    for (size_t other = 1; other < std::min<size_t>(group.size(), 6); ++other)
      pids += fmt::format("{}{}", other > 1 ? ", " : "", group[other]->pid);
    text += fmt::format("    and {} more like it: pid {}{}\n", group.size() - 1, pids, group.size() > 6 ? ", …" : "");
  }
  if (groups.size() > kMostOthersShown) text += fmt::format("  and {} more\n", groups.size() - kMostOthersShown);
  return text;
}

bool TreeReport::write_outputs(const std::vector<RunOutput>& outputs) {
  std::vector<std::string> paths;
  if (!command_path_.empty()) paths.push_back(command_path_);
  for (const Line& line : others_)
    if (!line.report.empty() && !line.is_outside_rules) paths.push_back(line.report);
  return write_run_outputs(outputs, paths, symbolizer_);
}

std::string TreeReport::summary() const {
  render::TextOptions options;
  std::string text = command_summary_ + describe_others();
  size_t shown = std::min(others_.size(), kMostOthersShown);
  if (!running_.empty())
    text += fmt::format("\nstill running (tracked processes report when they end): {}\n", fmt::join(running_, ", "));
  text += describe_unused_suppressions();
  std::string reports;
  if (!command_path_.empty()) reports += "  " + options.paths.shorten(command_path_) + "\n";
  for (size_t at = 0; at < shown; ++at)
    if (!others_[at].report.empty()) reports += "  " + options.paths.shorten(others_[at].report) + "\n";
  size_t more = 0;
  for (size_t at = shown; at < others_.size(); ++at) more += !others_[at].report.empty();
  size_t shown_earlier = std::min(earlier_.size(), kMostOthersShown);
  for (size_t at = 0; at < shown_earlier; ++at)
    reports += fmt::format("  {}  ({})\n", options.paths.shorten(earlier_[at].report), earlier_[at].text);
  more += earlier_.size() - shown_earlier;
  if (more) reports += fmt::format("  and {} more\n", more);
  if (!reports.empty()) text += "\nreports:\n" + reports;
  if (series_.empty()) return text;
  text += "\nseries:\n";
  for (const auto& [pid, path] : series_) text += "  " + options.paths.shorten(path) + "\n";
  return text;
}

}  // namespace unfreed::cli
