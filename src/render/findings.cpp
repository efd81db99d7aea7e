#include "render/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "render/frames.h"
#include "render/kernel_view.h"
#include "render/place_text.h"
#include "render/quantities.h"
#include "render/telling_frames.h"
#include "render/tests.h"
#include "render/text_parts.h"
#include "settings/rules.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Subject;
using Level = Finding::Level;

namespace {

constexpr size_t kMostFrames = 12;

TextOptions text_options(const SourceRoot& root) {
  TextOptions options;
  options.most_frames = kMostFrames;
  options.paths = PathShortener(root.folder(), "");
  return options;
}

/// The rules of one report that matter here.
struct AskedRule {
  report::Rule rule;
  const report::RuleOutcome* outcome;
  std::string text() const { return std::string(outcome->rule); }
};

bool counts_place(const AskedRule& asked, const Place& place) {
  if (asked.rule.subject != report::subject_of(place.site->kind) || !place.site->counts()) return false;
  uint64_t value = place.value(asked.rule.counter);
  return asked.rule.per_site ? asked.rule.broken_by(value) : value > 0;
}

/// "heap.lost" for the counters of what is lost, else the kind alone: as a rule names it.
std::string id_of(const Place& place) {
  std::string id(report::kind_name(place.site->kind));
  return place.site->kind == ledger::Kind::heap && place.lost ? id + ".lost" : id;
}

/// Finds what one report has, and adds it to what others have.
class Finder {
 public:
  Finder(const RenderOptions& options, size_t most) : root_(root_of(options)), most_(most) {}

  void look_at(const Report& report) {
    if (report.process.outside_rules) return;
    report_ = &report;
    telling_.emplace(report, text_options(root_).paths);
    asked_.clear();
    explained_.clear();
    for (const report::RuleOutcome& outcome : report.rules) {
      report::RuleSet rules;
      report::ParseError error;
      if (report::parse_rules(outcome.rule, rules, error) && rules.count == 1)
        asked_.push_back({rules.rules[0], &outcome});
      if (!outcome.is_checked()) add_unchecked(outcome);
    }
    if (report.of_run) add_untracked();
    add_places();
    if (!is_kernel_view(report)) add_unattributed();
    add_misuse();
    add_exec_leaks();
    add_other_rules();
  }

  Findings result() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Finding& left, const Finding& right) { return left.level < right.level; });
    // What one report has left out, another may have brought.
    uint64_t left_out = 0;
    for (const PlaceKey& place : left_out_) left_out += !found_places_.contains(place);
    return {std::move(found_), left_out};
  }

 private:
  /// Of what no broken rule counts.
  Level level_of(Subject subject) const {
    bool is_asked =
        std::any_of(asked_.begin(), asked_.end(), [&](const AskedRule& one) { return one.rule.subject == subject; });
    return is_asked ? Level::note : Level::warning;
  }

  /// The broken rules that `is_of` is true of.
  template <class IsOf>
  std::vector<std::string> broken_rules(IsOf is_of) {
    std::vector<std::string> rules;
    for (const AskedRule& one : asked_)
      if (one.outcome->broken && is_of(one)) rules.push_back(one.text());
    return rules;
  }

  void add(Finding finding) {
    finding.report = report_;
    finding.processes = {describe_process(report_->process)};
    if (!finding.rules.empty()) finding.level = Level::error;
    explained_.insert(finding.rules.begin(), finding.rules.end());
    if (finding.stack_id) {
      SourceLine where = find_source_line(*report_, finding.stack_id, root_, &*telling_);
      // Control characters in it would be markup, or commands, to some reader.
      if (printable(where.file) == where.file) {
        finding.file = where.file;
        finding.line = where.line;
      }
      finding.stack = render_frames(*report_, finding.stack_id, text_options(root_), "");
    }
    auto [known, is_new] = known_.try_emplace(finding.id + finding.fingerprint, found_.size());
    if (is_new) {
      found_.push_back(std::move(finding));
      return;
    }
    merge(found_[known->second], std::move(finding));
  }

  static void merge(Finding& before, Finding finding) {
    // The worst process gives the numbers, and comes first.
    if (finding.weight > before.weight) std::swap(before, finding);
    for (std::string& process : finding.processes)
      if (std::find(before.processes.begin(), before.processes.end(), process) == before.processes.end())
        before.processes.push_back(std::move(process));
    before.level = std::min(before.level, finding.level);
    for (std::string& rule : finding.rules)
      if (std::find(before.rules.begin(), before.rules.end(), rule) == before.rules.end())
        before.rules.push_back(std::move(rule));
  }

  void add_places() {
    std::vector<Place> places = list_places(*report_);
    std::map<ledger::Kind, size_t> shown;
    for (const Place& place : places) {
      Finding finding;
      finding.rules = broken_rules([&](const AskedRule& one) { return counts_place(one, place); });
      bool is_news = place.counts() && (report::is_news(place.site->kind) || place.lost);
      if (finding.rules.empty() && !is_news) continue;
      if (++shown[place.site->kind] > most_) {
        left_out_.insert({place.site->kind, place.site->signature});
        continue;
      }
      found_places_.insert({place.site->kind, place.site->signature});
      finding.level = level_of(report::subject_of(place.site->kind));
      finding.id = id_of(place);
      finding.message = describe_place(place, text_options(root_));
      finding.weight = place.live + place.closed_by_gc;
      if (!place.live && place.closed_by_gc) finding.id += ".closed_by_gc";
      if (!place.live && place.running) {
        finding.id += ".running";
        finding.weight = place.running;
        finding.message =
            fmt::format("{} still running, from {}", write_running(place), printable(place.site->acquired_by));
      }
      if (std::string tests = describe_tests(place); !tests.empty()) finding.message += "; " + tests;
      for (const report::Hint* hint : hints_of(place)) finding.message += "; " + printable(hint->text);
      finding.fingerprint = fmt::format("{:016x}", place.site->signature);
      finding.stack_id = place.site->stack;
      add(std::move(finding));
    }
  }

  static std::string write_running(const Place& place) {
    return place.site->kind == ledger::Kind::child
               ? fmt::format("{} child process{}", place.running, place.running == 1 ? "" : "es")
               : write_number_of(place.running, "thread");
  }

  void add_unattributed() {
    std::vector<std::string> rules = broken_rules([](const AskedRule& one) {
      return one.rule.subject == Subject::fd && !one.rule.per_site &&
             (one.rule.counter == Counter::live || one.rule.counter == Counter::unattributed);
    });
    std::map<std::string, std::vector<const report::Descriptor*>> by_target;
    for (const report::Descriptor& one : report_->descriptors)
      if (one.origin == "unattributed") by_target[kind_of_target(one.target)].push_back(&one);
    for (const auto& [kind, all] : by_target) {
      Finding finding;
      finding.rules = rules;
      finding.level = level_of(Subject::fd);
      finding.id = "fd.unattributed";
      const report::Descriptor& first = *all[0];
      std::string target = first.target.empty() ? "" : fmt::format(" ({})", printable(first.target));
      finding.message = all.size() == 1
                            ? fmt::format("descriptor {}{} was opened through no hooked function", first.fd, target)
                            : fmt::format("{} descriptors{}, such as {}, were opened through no hooked function",
                                          write_count(all.size()), target, first.fd);
      finding.weight = all.size();
      finding.fingerprint = fmt::format("{:016x}", base::hash_text(kind));
      add(std::move(finding));
    }
  }

  /// The same in every run: a path, or the type of what has none ("pipe:[70288778]", "tcp 127.0.0.1:41234 …").
  static std::string kind_of_target(std::string_view target) {
    return std::string(target.starts_with('/') ? target : target.substr(0, target.find_first_of(":[ ")));
  }

  void add_misuse() {
    for (const report::Misuse& one : report_->misuse) {
      if (!one.suppressed_by.empty()) continue;
      Finding finding;
      finding.rules = broken_rules([&](const AskedRule& asked) {
        if (asked.rule.subject != Subject::misuse) return false;
        return asked.rule.counter == Counter::live ? counts(one) : report::row_of(asked.rule.counter).name == one.type;
      });
      if (finding.rules.empty() && !counts(one)) continue;
      finding.level = level_of(Subject::misuse);
      finding.id = fmt::format("misuse.{}", one.type);
      finding.message = describe_misuse(one);
      const auto& call = one.closed ? one.closed : one.opened;
      finding.stack_id = call ? call->stack : 0;
      finding.fingerprint = fingerprint_stack(*report_, finding.stack_id, finding.id);
      add(std::move(finding));
    }
  }

  void add_exec_leaks() {
    for (const report::ExecLeak& one : report_->exec_leaks) {
      if (!one.suppressed_by.empty()) continue;
      Finding finding;
      finding.rules = broken_rules([](const AskedRule& asked) { return asked.rule.subject == Subject::exec; });
      if (finding.rules.empty()) continue;  // few programs avoid it, and few care
      finding.id = "inherited_by_child";
      finding.message = fmt::format("{}; opened by {} without close-on-exec",
                                    describe_exec_leak(one, text_options(root_)), printable(one.acquired_by));
      finding.stack_id = one.stack;
      finding.fingerprint = fingerprint_stack(*report_, one.stack, finding.id);
      add(std::move(finding));
    }
  }

  void add_unchecked(const report::RuleOutcome& outcome) {
    Finding finding;
    finding.level = Level::error;
    finding.id = "unchecked";
    finding.message = describe_verdict(outcome);
    finding.fingerprint = fmt::format("{:016x}", base::hash_text(outcome.rule));
    add(std::move(finding));
  }

  void add_untracked() {
    for (const report::UntrackedProgram& one : report_->untracked) {
      if (one.allowed) continue;
      Finding finding;
      finding.level = report_->rules.empty() ? Level::warning : Level::error;
      finding.id = "untracked";
      finding.message = fmt::format("{} was not tracked: {}", printable(one.program), printable(one.reason));
      finding.fingerprint = fmt::format("{:016x}", base::hash_text(one.program));
      add(std::move(finding));
    }
  }

  /// A broken rule that nothing above explains: about an unattributed thread, or what the report leaves out.
  void add_other_rules() {
    for (const AskedRule& one : asked_) {
      if (!one.outcome->broken || explained_.contains(one.text())) continue;
      Finding finding;
      finding.rules = {one.text()};
      finding.id = report::row_of(one.rule.subject).name;
      finding.message = describe_verdict(*one.outcome);
      finding.fingerprint = fmt::format("{:016x}", base::hash_text(one.outcome->rule));
      add(std::move(finding));
    }
  }

  SourceRoot root_;
  size_t most_;
  const Report* report_ = nullptr;
  std::optional<TellingFrames> telling_;  ///< of it
  std::vector<AskedRule> asked_;
  std::vector<Finding> found_;
  std::map<std::string, size_t> known_;
  std::set<std::string> explained_;                    ///< broken rules that have a finding
  using PlaceKey = std::pair<ledger::Kind, uint64_t>;  ///< with a signature
  std::set<PlaceKey> found_places_, left_out_;
};

}  // namespace

std::string Finding::describe() const {
  if (processes.size() < 2) return fmt::format("{}, in {}", message, processes.empty() ? "" : processes[0]);
  return fmt::format("{}, in {} and {} more process{}", message, processes[0], processes.size() - 1,
                     processes.size() == 2 ? "" : "es");
}

std::string Finding::describe_with_rules() const {
  return rules.empty() ? describe() : fmt::format("{} (breaks {})", describe(), fmt::join(rules, ", "));
}

bool any_judged(Reports reports) {
  return std::any_of(reports.begin(), reports.end(),
                     [](const Report* one) { return !one->process.outside_rules || one->clean_processes > 0; });
}

std::string describe_id(std::string_view id) {
  if (id == "unchecked") return "A rule could not be checked, so it did not pass.";
  if (id == "untracked") return "A program was not tracked, so nothing is known about it.";
  if (id == "fd.unattributed") return "A descriptor was opened through no hooked function and is still open.";
  if (id == "fd.closed_by_gc") return "Descriptors were not closed by the program, only by Go's garbage collector.";
  if (id == "heap.lost") return "Heap blocks were lost: no pointer leads to them any more, so they can never be freed.";
  if (id == "inherited_by_child") return "A descriptor without close-on-exec was inherited by another program.";
  if (id == "thread") return "Threads ended and were neither joined nor detached.";
  if (id == "child") return "Child processes ended and were never waited for.";
  if (id == "thread.running") return "Threads are still running.";
  if (id == "child.running") return "Child processes are still running.";
  if (id.starts_with("misuse")) return "A descriptor or stream was closed twice, or by code that does not own it.";
  Subject subject = Subject::fd;
  std::string_view noun = report::subject_from_name(id, subject) ? report::row_of(subject).noun : "resource";
  return fmt::format("A {} was acquired here and never released.", noun);
}

SourceRoot root_of(const RenderOptions& options) { return options.root ? *options.root : SourceRoot::here(); }

SourceLine find_source_line(const Report& report, report::StackId stack, const SourceRoot& root,
                            const TellingFrames* telling) {
  SourceLine first;
  for (const StackFrame& frame : list_frames(report, stack)) {
    if (!frame.line || frame.file.empty() || !is_own_frame(frame)) continue;
    if (telling && telling->is_wrapper(frame)) continue;
    if (std::string file = root.relative(frame.file); !file.empty()) return {file, frame.line};
    if (!first.line) first = {root.name(frame.file), frame.line};
  }
  return first.line || !telling ? first : find_source_line(report, stack, root);
}

std::string fingerprint_stack(const Report& report, report::StackId stack, std::string_view what) {
  uint64_t hash = base::hash_text(what);
  for (const StackFrame& frame : list_frames(report, stack)) {
    if (!is_own_frame(frame)) continue;
    hash = base::hash_text(frame.function, hash);
    hash = base::hash_text(base_name(frame.file.empty() ? frame.module : frame.file), hash);
  }
  return fmt::format("{:016x}", hash);
}

Findings list_findings(Reports reports, const RenderOptions& options, size_t most) {
  Finder finder(options, most);
  for (const Report* report : reports) finder.look_at(*report);
  return finder.result();
}

}  // namespace unfreed::render
