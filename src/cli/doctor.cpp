// unfreed doctor: says what a run would see, without running CMD.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/command.h"
#include "cli/command_chain.h"
#include "cli/diagnosis.h"
#include "cli/locate.h"
#include "render/paths.h"

namespace unfreed::cli {

namespace {

constexpr int kTrackable = 0;
constexpr int kNotTrackable = 1;

/// What is known of one program of a command, before it runs.
struct Finding {
  ChainedProgram program;
  Diagnosis diagnosis;
  bool is_command = false;  ///< CMD itself

  bool is_traced() const { return is_command && diagnosis.is_traced; }
  bool is_cleared() const { return !program.cleared_by.empty(); }
  bool is_tracked() const { return is_traced() || (diagnosis.obstacles.empty() && !is_cleared()); }
};

class Doctor {
 public:
  explicit Doctor(const Arguments& words) : chain_(follow_command(words)) {
    bool is_command = true;
    for (const ChainedProgram& one : chain_.programs) {
      Diagnosis diagnosis = diagnose(one.name);
      if (one.in_script && !diagnosis.found)
        chain_.has_unknown = true;
      else
        findings_.push_back({one, std::move(diagnosis), is_command});
      is_command = false;
    }
    std::string tried;
    if (find_runtime(tried).empty()) missing_ = "libunfreed.so is missing; searched: " + tried;
  }

  bool is_trackable() const {
    return missing_.empty() &&
           std::all_of(findings_.begin(), findings_.end(), [](const Finding& one) { return one.is_tracked(); });
  }

  std::string describe() {
    if (!missing_.empty()) add("obstacle", missing_);
    for (const Finding& one : findings_) describe(one);
    describe_rest();
    advise();
    return text_;
  }

 private:
  void add(const char* heading, std::string_view line) {
    text_ += fmt::format("  {:<10} {}\n", heading, render::printable(line));
  }

  void describe(const Finding& one) {
    const char* verdict = one.is_traced() ? "can be traced" : one.is_tracked() ? "can be tracked" : "cannot be tracked";
    text_ += fmt::format("{}: {}\n", render::printable(one.program.name), verdict);
    if (!one.diagnosis.files.empty()) add("program", one.diagnosis.files.back());
    for (const std::string& obstacle : one.diagnosis.obstacles) add(one.is_traced() ? "because" : "obstacle", obstacle);
    if (one.is_cleared()) add("obstacle", fmt::format("{}: it starts without LD_PRELOAD", one.program.cleared_by));
    if (one.is_traced() && one.diagnosis.obstacles.empty()) add("because", kGoLimit);
    for (const std::string& limit : one.diagnosis.limits)
      if (!one.is_traced()) add("limit", limit);
    for (const std::string& remark : one.diagnosis.remarks) add("note", remark);
    any_tracked_ = any_tracked_ || (one.is_tracked() && !one.is_traced());
    any_traced_ = any_traced_ || one.is_traced();
    has_both_ = has_both_ || (one.is_traced() && one.diagnosis.obstacles.empty());
  }

  void describe_rest() {
    if (any_tracked_ || any_traced_) text_ += "seen\n";
    if (any_tracked_)
      add("tracked",
          "descriptors, heap blocks, threads, child processes, timers, shared memory, libraries; with stacks");
    if (any_traced_) add("traced", "descriptors, threads, child processes; with stacks");
    if (has_both_) add("tracked", "of its C code: heap blocks, timers, shared memory, libraries; with stacks");
    if (!any_tracked_) return;
    text_ += "not seen\n";
    add("calls", "system calls without libc (their descriptors are listed, without a stack)");
    add("libraries", "those opened by dlmopen or with RTLD_DEEPBIND");
    if (!chain_.starters.empty())
      add("programs", fmt::format("what {} will start is not known yet; the report lists what was not tracked",
                                  fmt::join(chain_.starters, ", ")));
    else if (chain_.has_unknown)
      add("programs",
          "those that the script names in a way not understood here; the report lists what was not tracked");
  }

  void advise() {
    std::vector<std::string> lines;
    auto any = [&](auto&& applies) { return std::any_of(findings_.begin(), findings_.end(), applies); };
    auto is_stopped_by = [](const Finding& one, std::initializer_list<elf::Obstacle> obstacles) {
      return !one.is_tracked() &&
             std::find(obstacles.begin(), obstacles.end(), one.diagnosis.obstacle) != obstacles.end();
    };
    if (any([](const Finding& one) { return !one.is_tracked() && is_traced_by_default(one.diagnosis.obstacle); }))
      lines.emplace_back("unfreed run --backend=trace traces all programs: descriptors, threads, children");
    // Only a wrapper that is tracked itself can be made to pass the variable on.
    auto is_by_tracked = [&](const Finding& one) {
      std::string wrapper = one.program.cleared_by.substr(0, one.program.cleared_by.find(' '));
      return !any([&](const Finding& other) {
        return !other.is_tracked() && render::base_name(other.program.name) == wrapper;
      });
    };
    if (any([&](const Finding& one) {
          return one.is_cleared() && one.diagnosis.obstacles.empty() && is_by_tracked(one);
        }))
      lines.emplace_back("unfreed run --follow=force sets LD_PRELOAD again where a wrapper has removed it");
    if (any([&](const Finding& one) { return is_stopped_by(one, {elf::Obstacle::other_processor}); }))
      lines.emplace_back("for a program of another processor, use a build of unfreed for it there");
    if (any([](const Finding& one) { return !one.diagnosis.found; }))
      lines.emplace_back("a program that is not found: give its path, or add its directory to PATH");
    if (any([](const Finding& one) { return !one.is_tracked() && one.diagnosis.found; }))
      lines.emplace_back("rules refuse a run with untracked programs (125), unless --allow-untracked names them");
    if (lines.empty()) return;
    text_ += "what to do\n";
    for (const std::string& line : lines) text_ += "  " + line + "\n";
  }

  CommandChain chain_;
  std::vector<Finding> findings_;
  std::string missing_;  ///< of the library
  bool any_tracked_ = false;
  bool any_traced_ = false;
  bool has_both_ = false;  ///< one that is traced can load the library, too
  std::string text_;
};

}  // namespace

int doctor_command(const Arguments& arguments) {
  Parser parser("doctor", "[OPTIONS] CMD [ARGS...]",
                "Checks whether CMD can be tracked, and what would and would not be seen: CMD itself, and the programs "
                "that its arguments name behind timeout, env, sh -c and the like. CMD is not run.");
  parser.footer("Exit status: 0 all of them can be tracked, 1 one of them cannot, 125 unfreed could not do its job.");
  size_t options = parser.count_options(arguments);
  Arguments own(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(options));
  if (!own.empty() && own.back() == "--") own.pop_back();
  if (std::optional<int> status = parser.parse(own)) return *status;
  if (options == arguments.size()) {
    complain("no CMD given (try 'unfreed doctor --help')");
    return kFailure;
  }
  Doctor doctor(Arguments(arguments.begin() + static_cast<ptrdiff_t>(options), arguments.end()));
  std::string text = doctor.describe();
  std::fwrite(text.data(), 1, text.size(), stdout);
  return doctor.is_trackable() ? kTrackable : kNotTrackable;
}

}  // namespace unfreed::cli
