// unfreed top: what the tracked processes of this machine hold, and what grows, as they run.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <thread>

#include "base/scan.h"
#include "base/syscall.h"
#include "cli/command.h"
#include "cli/find_ledger.h"
#include "cli/process_watch.h"
#include "cli/request_grading.h"
#include "cli/running_report.h"
#include "cli/screen.h"
#include "cli/settings_input.h"
#include "cli/tracked_processes.h"
#include "render/function_names.h"
#include "render/json.h"
#include "render/quantities.h"
#include "render/top_view.h"

namespace unfreed::cli {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

/// Which processes are shown: all, those of a program, or one and those that it has started.
class Target {
 public:
  explicit Target(std::string text) : text_(std::move(text)) {
    uint64_t number = 0;
    if (base::parse_number(text_, number) && number <= INT32_MAX) pid_ = static_cast<int>(number);
  }
  bool is_any() const { return text_.empty(); }
  bool includes(const TrackedProcess& one) const {
    if (is_any()) return true;
    if (!pid_) return one.name == text_;
    constexpr int kMostGenerations = 100;
    int pid = one.pid;
    for (int step = 0; pid > 0 && step < kMostGenerations; ++step) {
      if (pid == pid_) return true;
      std::vector<unsigned> parent = step ? status_numbers(pid, "PPid:") : std::vector{unsigned(one.parent)};
      pid = parent.empty() ? 0 : static_cast<int>(parent[0]);
    }
    return false;
  }
  std::string describe() const {
    return pid_ ? fmt::format("neither process {} nor one that it has started is tracked by unfreed", pid_)
                : fmt::format("no tracked process is named '{}' (see 'unfreed list')", text_);
  }

 private:
  std::string text_;
  int pid_ = 0;
};

/// Has a process search for what it has lost, which may take seconds, while others are shown.
class Grading {
 public:
  void begin(int pid) {
    auto state = std::make_shared<State>();
    state_ = state;
    pid_ = pid;
    // It may still run when the command no longer needs it, so all that it uses is its own.
    std::thread([pid, state, found = std::make_shared<FoundLedger>(find_ledger(pid))] {
      state->is_done = found->open.file && request_grading(pid, found->open.file.get(), state->error);
      if (!found->open.file) state->error = fmt::format("process {} is not running any more", pid);
      state->has_ended.store(true, std::memory_order_release);
    }).detach();
  }
  bool is_running() const { return state_ != nullptr; }
  /// A line once there is an answer.
  std::optional<std::string> answer() {
    if (!state_ || !state_->has_ended.load(std::memory_order_acquire)) return {};
    std::string line =
        state_->is_done ? fmt::format("process {} has searched for what it has lost: see LOST", pid_) : state_->error;
    state_.reset();
    return line;
  }

 private:
  struct State {
    std::atomic<bool> has_ended = false;
    bool is_done = false;
    std::string error;
  };
  std::shared_ptr<State> state_;
  int pid_ = 0;
};

class Top {
 public:
  Top(Target target, uint64_t delay_ns, const SettingsInput& input)
      : target_(std::move(target)), settings_(input.settings()), view_(delay_ns, render::PathShortener::here()) {}

  render::TopView& view() { return view_; }
  bool has_processes() const { return has_processes_; }

  void look_at_processes() {
    uint64_t now = base::monotonic_ns();
    std::vector<render::TopProcess> shown;
    for (const TrackedProcess& one : list_tracked_processes())
      if (target_.includes(one))
        shown.push_back({one.key, one.pid, one.name, one.arguments, one.running_ns, one.held, one.limit, one.open});
    has_processes_ = !shown.empty();
    view_.look(now, shown);
  }

  /// At the call sites of the process that is selected. Nothing changes if it has ended, or is about to.
  void look_at_selected() {
    const render::TopProcessRow* selected = view_.selected();
    if (!selected || selected->ended_ns) return;
    // Of another process, or of another program that it has executed.
    if (selected->last.key != shown_key_) forget();
    auto made = std::make_unique<RunningReport>();
    if (!make(*selected, Depth::ledger, *made)) return;
    view_.look(base::monotonic_ns(), selected->last.key, made->owned.report, made->owned.arena);
    shown_ = std::move(made);
    shown_key_ = selected->last.key;
  }
  const std::string& shown_key() const { return shown_key_; }

  void look() {
    look_at_processes();
    look_at_selected();
  }

  /// A report on the process that is selected, as `unfreed snapshot` makes it; of one that has ended, what is shown.
  void save() {
    const render::TopProcessRow* selected = view_.selected();
    if (!selected) return;
    RunningReport made;
    const report::Report* report = nullptr;
    if (!selected->ended_ns && make(*selected, Depth::stacks, made)) report = &made.owned.report;
    if (!report && shown_ && shown_key_ == selected->last.key) report = &shown_->owned.report;
    if (!report) {
      view_.say("there is nothing to write yet");
      return;
    }
    std::string error;
    std::string path = output_path(settings_.output, selected->last.name, selected->last.pid, ++saved_, error);
    OutputOptions options;
    options.replaces_anything = settings_.force;
    bool is_written =
        !path.empty() && write_report_file(path, render::write_json(*report, report::StackForm::file), options, error);
    view_.say(is_written
                  ? fmt::format("report: {}", path)
                  : fmt::format("report {} cannot be written: {}", path.empty() ? settings_.output : path, error));
  }

  void grade() {
    const render::TopProcessRow* selected = view_.selected();
    if (!selected || grading_.is_running()) return;
    grading_.begin(selected->last.pid);
    view_.say(fmt::format("process {} is asked to search for what it has lost", selected->last.pid));
  }
  Grading& grading() { return grading_; }

 private:
  /// False: it is just starting, ending or executing another program.
  bool make(const render::TopProcessRow& process, Depth depth, RunningReport& out) {
    int pid = process.last.pid;
    FoundLedger found = find_ledger(pid);
    struct stat status {};
    if (!found.open.file || fstat(found.open.file.get(), &status) != 0) return false;
    std::string error;
    if (!make_running_report(pid, found, settings_, depth, symbolizer_for(pid), out, error)) return false;
    const ledger::View& view = out.ledger.copy.view();
    return series_key(view, status.st_ino) == process.last.key &&
           view.header().state.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::State::live);
  }

  /// They know names that are slow to find, and need memory.
  symbolize::Symbolizer& symbolizer_for(int pid) {
    constexpr size_t kMost = 16;
    if (auto found = symbolizers_.find(pid); found != symbolizers_.end()) return found->second;
    if (symbolizers_.size() >= kMost) {
      forget();
      symbolizers_.clear();
    }
    return symbolizers_.emplace(pid, symbolizer_of(pid)).first->second;
  }

  void forget() {
    view_.forget_sites();
    shown_.reset();
    shown_key_.clear();
  }

  Target target_;
  const report::Settings& settings_;
  render::TopView view_;
  std::map<int, symbolize::Symbolizer> symbolizers_;  ///< by process
  std::unique_ptr<RunningReport> shown_;
  std::string shown_key_;
  Grading grading_;
  uint32_t saved_ = 0;
  bool has_processes_ = false;
};

int milliseconds_until(uint64_t time_ns) {
  uint64_t now = base::monotonic_ns();
  return now >= time_ns ? 0 : static_cast<int>(std::min<uint64_t>((time_ns - now) / 1'000'000 + 1, 3'600'000));
}

int show_on_terminal(Top& top, uint64_t delay_ns, uint32_t most_looks) {
  std::string error;
  std::unique_ptr<Screen> screen = Screen::open(error);
  if (!screen) {
    complain(error);
    return kFailure;
  }
  constexpr int kWhileGradingMs = 100;
  render::TopView& view = top.view();
  uint64_t next = base::monotonic_ns() + delay_ns;
  top.look_at_selected();
  for (uint32_t looks = 1;;) {
    if (std::optional<std::string> answer = top.grading().answer()) {
      top.look_at_selected();
      view.say(*answer);
    }
    // What is selected is shown at once.
    const render::TopProcessRow* selected = view.selected();
    if (selected && selected->last.key != top.shown_key()) {
      // Names may have to be read first, which can take a second.
      screen->draw(view.draw(screen->lines(), screen->columns()));
      top.look_at_selected();
    }
    screen->draw(view.draw(screen->lines(), screen->columns()));
    int wait_ms = milliseconds_until(next);
    if (top.grading().is_running()) wait_ms = std::min(wait_ms, kWhileGradingMs);
    uint32_t key = 0;
    switch (screen->wait(wait_ms, key)) {
      case Screen::Event::end:
        return kSuccess;
      case Screen::Event::key:
        switch (view.press(key)) {
          case render::TopAction::quit:
            return kSuccess;
          case render::TopAction::save:
            top.save();
            break;
          case render::TopAction::grade:
            top.grade();
            break;
          default:
            break;
        }
        break;
      default:
        break;
    }
    if (base::monotonic_ns() < next) continue;
    if (looks++ == most_looks) return kSuccess;
    if (!view.is_frozen()) top.look();
    next = base::monotonic_ns() + delay_ns;
  }
}

/// As text, look by look. It ends with the processes that it was asked about, or by a signal.
int write_text(Top& top, bool is_any, uint64_t delay_ns, uint32_t most_looks) {
  sigset_t ending;
  sigemptyset(&ending);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  base::UniqueFd signals(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
  render::TextOptions options;
  uint64_t next = base::monotonic_ns();
  for (uint32_t looks = 1;; ++looks) {
    std::string text = fmt::format("look {}\n{}", looks, top.view().write_processes(options.columns));
    for (const std::string& key : top.view().running()) {
      top.view().select(key);
      top.look_at_selected();
      text += "\n" + top.view().write_sites(options);
    }
    text += "\n";
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      complain("standard output cannot be written");
      return kFailure;
    }
    if (looks == most_looks || (!is_any && !top.has_processes())) return kSuccess;
    next = std::max(next + delay_ns, base::monotonic_ns());
    pollfd waited{signals.get(), POLLIN, 0};
    if (poll(&waited, 1, milliseconds_until(next)) > 0) return kSuccess;
    top.look_at_processes();
  }
}

/// "2", "0.5": seconds.
bool read_delay(const std::string& text, uint64_t& delay_ns) {
  constexpr double kLeast = 0.1, kMost = 86400;
  double seconds = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (problem != std::errc() || end != text.data() + text.size() || !(seconds >= kLeast && seconds <= kMost))
    return false;
  delay_ns = static_cast<uint64_t>(seconds * static_cast<double>(kSecondNs));
  return true;
}

}  // namespace

int top_command(const Arguments& arguments) {
  Parser parser("top", "[OPTIONS] [PID|NAME]",
                "Shows, like top, what the tracked processes of this machine hold and how fast that changes, and the "
                "call sites of the one that is selected. The processes are not stopped, signalled or slowed down, "
                "unless one is asked to search for what it has lost. Press ? for the keys.");
  std::string target;
  std::string delay = "2";
  bool is_batch = false;
  uint32_t most_looks = 0;
  SettingsInput input;
  parser.optional_operand("PID|NAME", target,
                          "only the process with that pid and those that it has started, or the processes of the "
                          "program with that name (default: all that `unfreed list` shows)");
  parser.value("-d,--delay", "SECONDS", delay, "time between two looks, from 0.1 on (default: 2)");
  parser.flag("-b,--batch", is_batch, "write each look as text to standard output, for scripts");
  parser.value("-n,--looks", "N", most_looks, "end after N looks");
  input.add_options(parser, {"output", "suppressions", "force"});
  parser.footer(
      "Exit status: 0; 125 if no such process is tracked, or if standard output is not a terminal that can show it.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  uint64_t delay_ns = 0;
  if (!read_delay(delay, delay_ns)) {
    complain(fmt::format("--delay: '{}' is not a number of seconds from 0.1 to 86400", delay));
    return kFailure;
  }
  Target shown(target);
  Top top(shown, delay_ns, input);
  top.look_at_processes();
  if (!shown.is_any() && !top.has_processes()) {
    complain(shown.describe());
    return kFailure;
  }
  return is_batch ? write_text(top, shown.is_any(), delay_ns, most_looks) : show_on_terminal(top, delay_ns, most_looks);
}

}  // namespace unfreed::cli
