#include "render/text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "evaluate/verdict.h"
#include "names/code_owner.h"
#include "render/ages.h"
#include "render/frames.h"
#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/kernel_view.h"
#include "render/quantities.h"
#include "render/renderers.h"
#include "render/retention.h"
#include "render/telling_frames.h"
#include "render/text_parts.h"
#include "render/views.h"
#include "report/describe.h"

namespace unfreed::render {

using report::Counter;
using report::Process;
using report::Report;
using report::RuleOutcome;
using report::Site;
using report::Subject;
using report::Text;
using report::Totals;
using report::Trigger;

namespace {

/// What is held of a kind: a child that is still held is a zombie.
std::string_view noun_of(ledger::Kind kind) {
  return kind == ledger::Kind::child ? "zombie" : report::row_of(report::subject_of(kind)).noun;
}

/// "number word" of the counters that are not zero.
void add_counters(const Totals& totals, std::initializer_list<std::pair<Counter, const char*>> counters,
                  std::vector<std::string>& out) {
  for (const auto& [counter, word] : counters)
    if (uint64_t value = totals[counter]) out.push_back(fmt::format("{} {}", write_count(value), word));
}

std::string describe_heap(const Totals& totals, uint64_t live) {
  std::string held =
      live ? fmt::format("{} in {}", write_bytes(totals[Counter::bytes]), write_number_of(live, "block")) : "none";
  held += fmt::format(" held, of {} in {}", write_bytes(totals[Counter::total_bytes]),
                      write_number_of(totals[Counter::total], "block"));
  uint64_t interval = totals[Counter::sample_bytes];
  if (!interval) return held;
  return fmt::format("{}; estimated from one block per {}: ± {}, {}", held, write_bytes(interval),
                     write_bytes(totals[Counter::bytes_error]), write_number_of(totals[Counter::live_error], "block"));
}

/// "3 blocks (300 B) lost, 5 (80 B) indirectly lost"
std::string describe_lost_blocks(const Totals& totals) {
  if (!totals[Counter::lost]) return "none lost";
  std::string text = fmt::format("{} ({}) lost", write_number_of(totals[Counter::lost], "block"),
                                 write_bytes(totals[Counter::lost_bytes]));
  if (uint64_t with_them = totals[Counter::indirectly_lost])
    text += fmt::format(", {} ({}) indirectly lost", write_count(with_them),
                        write_bytes(totals[Counter::indirectly_lost_bytes]));
  return text;
}

/// What the process could not get at any more, if that is known.
std::string describe_losses(Subject subject, const Totals& totals, const Report& report) {
  bool is_graded = report.grading && report.grading->state == report::GradingState::done;
  if (!is_graded) return {};
  if (subject == Subject::heap && totals[Counter::live]) {
    std::string text = describe_lost_blocks(totals);
    if (uint64_t possibly = totals[Counter::possibly_lost])
      text += fmt::format("; {} ({}) possibly lost", write_count(possibly),
                          write_bytes(totals[Counter::possibly_lost_bytes]));
    return text;
  }
  return totals[Counter::lost] ? fmt::format("{} lost", write_count(totals[Counter::lost])) : "";
}

}  // namespace

std::string describe_totals(Subject subject, const Totals& totals, const Report& report) {
  std::vector<std::string> parts;
  uint64_t live = totals[Counter::live];
  std::string held = live ? write_count(live) : "none";
  std::string total = write_count(totals[Counter::total]);
  switch (subject) {
    case Subject::heap:
      parts.push_back(describe_heap(totals, live));
      break;
    case Subject::thread:
      parts.push_back(fmt::format("{} ended unjoined, of {} started", held, total));
      add_counters(totals, {{Counter::running, "still running"}, {Counter::unattributed, "unattributed"}}, parts);
      break;
    case Subject::child:
      parts.push_back(fmt::format("{} unreaped, of {} started", held, total));
      add_counters(totals, {{Counter::running, "still running"}, {Counter::unattributed, "unattributed"}}, parts);
      break;
    default:
      parts.push_back(fmt::format("{} held, of {} acquired", held, total));
      if (uint64_t peak = totals[Counter::peak]) parts.push_back(fmt::format("peak {}", write_count(peak)));
      add_counters(totals, {{Counter::closed_by_gc, "closed by the garbage collector"}}, parts);
      add_counters(totals, {{Counter::unattributed, "unattributed"}, {Counter::inherited, "inherited"}}, parts);
  }
  if (std::string lost = describe_losses(subject, totals, report); !lost.empty()) parts.push_back(lost);
  if (uint64_t suppressed = totals[Counter::suppressed])
    parts.push_back(fmt::format("{} of the {} suppressed", write_count(suppressed), held));
  return join(parts, "; ");
}

std::string describe_end(const Report& report) {
  const Process& process = report.process;
  std::string text;
  if (process.signal) {
    text = fmt::format("was killed by signal {}", *process.signal);
    if (!process.signal_name.empty()) text += fmt::format(" ({})", printable(process.signal_name));
  } else if (process.exit_status) {
    text = fmt::format("exited with status {}", *process.exit_status);
  } else {
    text = report.trigger == Trigger::post_mortem ? "has ended" : "is still running";
  }
  if (process.duration_ns) text += fmt::format(" after {}", write_duration(*process.duration_ns));
  return text;
}

const Site* find_peak(const Report& report) {
  constexpr uint64_t kMuch = 8;
  bool has_failed = std::any_of(report.failures.begin(), report.failures.end(),
                                [](const report::Failure& one) { return one.kind == ledger::Kind::fd; });
  const Site* most = nullptr;
  for (const Site& site : report.sites) {
    bool is_candidate =
        site.kind == ledger::Kind::fd && site.counts() && site.at_peak >= kMuch && site.live < site.at_peak / 2;
    if (has_failed && is_candidate && (!most || site.at_peak > most->at_peak)) most = &site;
  }
  return most;
}

namespace {

/// Up to two targets, and how many more there are.
std::string describe_targets(const Place& place, const TextOptions& options) {
  std::vector<std::string> different;
  for (const report::Object* object : place.objects) {
    constexpr size_t kMostOfTarget = 48;
    std::string text =
        cut_to(options.paths.shorten(object->target.empty() ? object->name : object->target), kMostOfTarget);
    if (!text.empty() && std::find(different.begin(), different.end(), text) == different.end())
      different.push_back(text);
  }
  if (different.empty()) return {};
  size_t shown = std::min<size_t>(different.size(), 2);
  std::string text = join({different.begin(), different.begin() + static_cast<ptrdiff_t>(shown)}, ", ");
  return different.size() > shown ? text + ", …" : text;
}

/// Where a rule about places is broken: " (src/log.c:42)".
std::string place_of_rule(const Report& report, const RuleOutcome& rule, const TextOptions& options) {
  if (!rule.broken || !rule.site) return {};
  for (const Site& site : report.sites) {
    if (site.id != rule.site) continue;
    TellingFrames telling(report, options.paths);
    if (const auto& found = telling.of(site.stack); found && found->frame.line)
      return fmt::format(" ({}:{})", options.paths.shorten(found->frame.file), found->frame.line);
  }
  return {};
}

std::string render_rules(const Report& report, const TextOptions& options) {
  std::string text;
  for (const RuleOutcome& rule : report.rules) {
    std::string line = describe_verdict(rule) + place_of_rule(report, rule, options);
    if (!rule.is_checked() || rule.broken) line = tinted(line, rule.broken ? Tint::red : Tint::yellow, options.colour);
    text += "  " + line + "\n";
  }
  return text;
}

std::string render_failure(const Report& report, const TextOptions& options) {
  if (report.failures.empty()) return {};
  const report::Failure& first = report.failures[0];
  std::string text = fmt::format("\n  first failed call: {} ({})", printable(first.function), printable(first.error));
  if (first.count > 1) text += fmt::format(", {} times", write_count(first.count));
  if (first.live_then) text += fmt::format("; {} held at the time", write_count(first.live_then));
  if (first.thread) text += fmt::format("; thread {}", first.thread);
  text += '\n';
  return text + render_frames(report, first.stack, options, "      ");
}

/// Who held most when most was held, where little of it is left.
std::string render_peak(const Report& report, const TextOptions& options) {
  const Site* most = find_peak(report);
  if (!most) return {};
  std::string heading = write_number_of(most->at_peak, "descriptor") + " at the peak";
  std::string text =
      fmt::format("\n  {} from {}\n", tinted(heading, Tint::bold, options.colour), printable(most->acquired_by));
  return text + render_frames(report, most->stack, options, "      ");
}

/// Descriptors that nobody has a stack for: at least what they lead to.
std::string render_unattributed(const Report& report, const TextOptions& options) {
  std::vector<std::string> shown;
  size_t count = 0;
  for (const report::Descriptor& one : report.descriptors) {
    if (one.origin != "unattributed" || ++count > options.most_sites) continue;
    shown.push_back(one.target.empty() ? fmt::format("{}", one.fd)
                                       : fmt::format("{} ({})", one.fd, options.paths.shorten(one.target)));
  }
  if (shown.empty()) return {};
  std::string more = count > shown.size() ? ", …" : "";
  return fmt::format("\n  {}: {}{}\n",
                     tinted("open, but not opened through a hooked function", Tint::bold, options.colour),
                     join(shown, ", "), more);
}

/// Programs that nothing is known of.
std::string render_untracked(const Report& report, const TextOptions& options) {
  std::string text;
  size_t shown = 0;
  for (const report::UntrackedProgram& one : report.untracked) {
    if (shown++ == options.most_sites) {
      text += fmt::format("      and {} more\n", report.untracked.size() - options.most_sites);
      break;
    }
    std::string times = one.count > 1 ? fmt::format(", {} times", write_count(one.count)) : "";
    text += fmt::format("      {}{}{}: {}\n", options.paths.shorten(one.program), times,
                        one.allowed ? " (allowed)" : "", printable(one.reason));
  }
  if (text.empty()) return text;
  return fmt::format("\n  {}:\n{}", tinted("not tracked", Tint::bold, options.colour), text);
}

/// What grows.
std::string render_watch(const Report& report, const TextOptions& options) {
  if (!report.watch) return {};
  std::string text;
  for (const report::KindGrowth& one : report.watch->kinds) {
    if (!is_worth_saying(one)) continue;
    bool grows = one.growth.course == report::Course::grows;
    std::string line = describe_growth(one.growth, one.kind);
    if (std::string limit = describe_limit(one); !limit.empty()) line += ": " + limit;
    text += fmt::format("  {:<7} {}\n", report::kind_name(one.kind),
                        grows ? tinted(line, Tint::red, options.colour) : line);
  }
  return fmt::format("  watched for {}, {}{}\n", write_duration(report.watch->duration_ns),
                     write_number_of(report.watch->looks, "look"), text.empty() ? ": nothing has changed" : ":") +
         text;
}

std::string render_notes(const Report& report, const TextOptions& options) {
  std::string text;
  size_t shown = 0;
  for (Text note : report.notes) {
    if (shown++ == options.most_notes) {
      text += fmt::format("  note: and {} more\n", report.notes.size() - options.most_notes);
      break;
    }
    text += fmt::format("  note: {}\n", printable(note));
  }
  if (!report.complete) text = "  " + tinted("this report is incomplete", Tint::yellow, options.colour) + "\n" + text;
  return text.empty() ? text : "\n" + text;
}

/// Files that a person would want to see lines of, and what to do for that: said once each.
class MissingLines {
 public:
  explicit MissingLines(const Report& report, const TextOptions& options) : report_(report), options_(options) {
    for (const report::Call& call : report.stacks.calls)
      if (std::any_of(call.frames.begin(), call.frames.end(), [](const auto& frame) { return frame.line; }))
        with_lines_.insert(call.module);
  }

  void look_at(const Place& place) {
    std::vector<StackFrame> stack = place.stack();
    has_nameless_ = has_nameless_ || std::any_of(stack.begin(), stack.end(), is_nameless);
    std::vector<ShownFrame> shown = choose_frames(stack, report_.process.exe, options_.paths, options_.most_frames);
    bool has_line = std::any_of(shown.begin(), shown.end(), [](const ShownFrame& one) { return one.frame->line; });
    if (shown.empty() || has_line || shown[0].frame->module.empty() || has_lines(shown[0].frame->module)) return;
    bool is_named =
        std::any_of(shown.begin(), shown.end(), [](const ShownFrame& one) { return !one.frame->function.empty(); });
    auto [file, is_new] = files_.try_emplace(std::string(shown[0].frame->module), is_named);
    file->second = file->second || is_named;
  }

  std::vector<std::string> describe() const {
    std::vector<std::string> texts;
    for (const auto& [path, is_named] : files_) {
      std::string name = printable(base_name(path));
      const char* what = is_named ? "no source lines" : "no function names or source lines";
      texts.push_back(
          report::is_system_module(path)
              ? fmt::format("{} for {}: install the debug symbols of its package (Debian: …-dbgsym)", what, name)
              : fmt::format("{} for {}: build it with -g{}", what, name, is_named ? "" : ", and do not strip it"));
    }
    for (const Generator& one : kGenerators)
      if (has_nameless_ && base_name(report_.process.exe) == one.program)
        texts.push_back(
            fmt::format("no names for code that {} generates: start it with {}", one.program, one.settings));
    return texts;
  }

 private:
  /// Programs that generate code, and how they write a map of it (symbolize/perf_map.h).
  struct Generator {
    std::string_view program;
    std::string_view interpreter;  ///< its function that runs what is not compiled; "" none that is in a file
    std::string_view settings;
  };
  static constexpr Generator kGenerators[] = {
      {"node", "Builtins_InterpreterEntryTrampoline", "--perf-basic-prof --interpreted-frames-native-stack"},
      {"java", "", "-XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit"},
      {"dotnet", "", "DOTNET_PerfMapEnabled=1 in its environment"},
  };
  static bool is_nameless(const StackFrame& frame) {
    if (frame.function.empty()) return frame.module.empty();
    return std::any_of(std::begin(kGenerators), std::end(kGenerators),
                       [&](const Generator& one) { return frame.function == one.interpreter; });
  }

  bool has_lines(std::string_view module) const { return with_lines_.contains(module); }

  const Report& report_;
  const TextOptions& options_;
  std::set<std::string_view> with_lines_;  ///< modules that have lines
  std::map<std::string, bool> files_;      ///< does it have names of functions?
  bool has_nameless_ = false;              ///< generated code without a name
};

/// Places worth a person's time, kind by kind: those of kinds with a broken rule first, else as the kinds stand. Of
/// each kind the worst, and how many more there are.
std::string render_places(const Report& report, const TextOptions& options) {
  std::vector<Place> places = list_places(report);
  std::erase_if(places, [](const Place& one) { return !one.counts(); });
  std::string broken;
  std::string others;
  std::string quiet;
  MissingLines missing(report, options);
  RetentionPaths retention(report, options.paths);
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto kind = static_cast<ledger::Kind>(at);
    bool is_broken = std::any_of(report.rules.begin(), report.rules.end(),
                                 [&](const RuleOutcome& rule) { return rule.broken && is_about(rule, kind); });
    bool is_news = report::is_news(kind) || std::any_of(places.begin(), places.end(), [&](const Place& one) {
                     return one.site->kind == kind && one.lost;
                   });
    std::string& text = is_broken ? broken : is_news ? others : quiet;
    size_t most = is_broken || is_news ? options.most_sites : options.most_quiet_sites;
    size_t shown = 0;
    uint64_t left_out = 0;
    uint64_t held = 0;
    for (const Place& one : places) {
      if (one.site->kind != kind) continue;
      if (shown++ < most) {
        text += "\n" + render_place(one, retention, options, "  ");
        missing.look_at(one);
      } else {
        ++left_out;
        held += one.live;
      }
    }
    if (left_out)
      text += fmt::format("\n  and {}, with {}\n", write_number_of(left_out, "more call site"),
                          write_number_of(held, noun_of(kind)));
  }
  if (report.sites_omitted)
    quiet +=
        fmt::format("\n  and {} that the report leaves out\n", write_number_of(report.sites_omitted, "more stack"));
  std::string without_lines;
  std::vector<std::string> files = missing.describe();
  for (size_t at = 0; at < std::min<size_t>(files.size(), 3); ++at) without_lines += "  " + files[at] + "\n";
  return broken + others + quiet + (files.empty() ? "" : "\n") + without_lines;
}

}  // namespace

std::vector<std::string> list_missing_lines(const std::vector<Place>& places, const Report& report,
                                            const TextOptions& options) {
  MissingLines missing(report, options);
  for (const Place& one : places)
    if (one.counts()) missing.look_at(one);
  return missing.describe();
}

std::string describe_process(const report::Process& process) {
  std::string_view name = process.exe.empty() && !process.argv.empty() ? process.argv[0] : process.exe;
  return fmt::format("{} (pid {})", printable(base_name(name)), process.pid);
}

bool is_about(const RuleOutcome& rule, ledger::Kind kind) {
  std::string_view about = rule.rule;
  if (about.starts_with("site.")) about.remove_prefix(5);
  return about.substr(0, about.find_first_of(".>= ")) == report::kind_name(kind);
}

std::string describe_verdict(const RuleOutcome& outcome) {
  base::FixedText<1024> line;
  report::add_verdict(line, outcome);
  return printable(line.text());
}

std::string describe_held(const Report& report) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto kind = static_cast<ledger::Kind>(at);
    const Totals* totals = report.totals_of(report::subject_of(kind));
    if (!report::is_news(kind) || !totals) continue;
    uint64_t held = totals->counted(Counter::live);
    // Unattributed descriptors are in it; of threads and children they are counted apart.
    if (kind != ledger::Kind::fd) held += (*totals)[Counter::unattributed];
    if (held) parts.push_back(write_number_of(held, noun_of(kind)));
  }
  if (const Totals* heap = report.totals_of(Subject::heap)) {
    if (uint64_t lost = heap->counted(Counter::lost)) parts.push_back(write_number_of(lost, "lost block"));
  }
  return parts.empty() ? "nothing" : join(parts, ", ");
}

std::string describe_loss(const report::Place& place) {
  std::vector<std::string> parts;
  auto add = [&](uint64_t count, const char* word) {
    if (!count) return;
    bool is_all = count == place.live;
    parts.push_back(!is_all      ? fmt::format("{} {}", write_count(count), word)
                    : count == 1 ? word
                                 : fmt::format("all {}", word));
  };
  add(place.lost, "lost");
  add(place.indirectly_lost, "indirectly lost");
  add(place.possibly_lost, "possibly lost");
  return parts.empty() ? "" : " (" + join(parts, ", ") + ")";
}

/// " by goroutine 18"
std::string describe_goroutines(const Place& place) {
  std::set<uint64_t> goroutines;
  for (const report::Object* object : place.objects)
    if (object->goroutine) goroutines.insert(*object->goroutine);
  bool is_all = std::all_of(place.sites.begin(), place.sites.end(),
                            [&](uint32_t site) { return place.report->sites[site].objects_omitted == 0; });
  if (goroutines.size() == 1) return fmt::format(" by goroutine {}", *goroutines.begin());
  if (goroutines.empty() || !is_all) return {};
  return fmt::format(" by {} goroutines", write_count(goroutines.size()));
}

std::string describe_place(const Place& place, const TextOptions& options) {
  bool is_only_of_gc = place.closed_by_gc && !place.live;
  std::string heading = write_number_of(is_only_of_gc ? place.closed_by_gc : place.live, noun_of(place.site->kind));
  if (is_only_of_gc) heading += " (closed by the garbage collector, not by you)";
  heading += describe_loss(place);
  if (place.bytes) heading += ", " + write_bytes(place.bytes);
  heading += describe_growth(place) + describe_ages(place);
  std::string text = tinted(heading, Tint::bold, options.colour);
  if (!place.site->acquired_by.empty()) text += " from " + printable(place.site->acquired_by);
  text += describe_goroutines(place);
  if (std::string targets = describe_targets(place, options); !targets.empty()) text += ": " + targets;
  return text;
}

/// All that keeps it alive, a line for each step.
std::string render_whole_paths(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                               std::string_view indent) {
  std::string text;
  uint64_t kept = 0;
  for (const RetentionPath& path : retention.to(place, true)) {
    kept += path.blocks;
    text += fmt::format("{}{} ({}), kept alive by\n", indent, write_number_of(path.blocks, "block"),
                        write_bytes(path.bytes));
    for (const std::string& step : path.steps) {
      const char* arrow = &step == path.steps.data() ? "    " : "    → ";
      text += cut_to(fmt::format("{}{}{}", indent, arrow, printable(step)), options.columns) + "\n";
    }
  }
  uint64_t lost = place.lost + place.indirectly_lost;
  if (lost) text += fmt::format("{}{}, lost: nothing keeps them\n", indent, write_number_of(lost, "block"));
  if (kept + lost < place.live && place.report->grading)
    text += fmt::format("{}{} of which the report does not say what keeps them\n", indent,
                        write_number_of(place.live - kept - lost, "block"));
  return text;
}

/// What keeps most of it alive.
std::string render_retention(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                             std::string_view indent) {
  constexpr size_t kMostPaths = 2;
  if (place.site->kind != ledger::Kind::heap) return {};
  if (options.has_whole_paths) return render_whole_paths(place, retention, options, indent);
  std::vector<RetentionPath> paths = retention.to(place);
  std::string text;
  for (size_t at = 0; at < std::min(paths.size(), kMostPaths); ++at) {
    std::string count = paths[at].blocks < place.live ? fmt::format("{} of them ", write_count(paths[at].blocks)) : "";
    std::string line = fmt::format("{}{}kept by", indent, count);
    for (size_t step = 0; step < paths[at].steps.size(); ++step) {
      std::string more =
          fmt::format(" {}{}", step ? "→ " : "", cut_to(printable(paths[at].steps[step]), options.columns / 2));
      if (columns_of(line) + columns_of(more) > options.columns) {
        text += line + "\n";
        line = std::string(indent) + "   ";
      }
      line += more;
    }
    text += line + "\n";
  }
  if (paths.size() > kMostPaths)
    text += fmt::format("{}and {}\n", indent, write_number_of(paths.size() - kMostPaths, "more path"));
  return text;
}

/// The source around the innermost frame that has a line.
std::string render_lines_of(const Place& place, const TextOptions& options, std::string_view indent) {
  if (!options.source_lines) return {};
  std::vector<StackFrame> stack = place.stack();
  for (const ShownFrame& shown : choose_frames(stack, place.report->process.exe, options.paths, options.most_frames))
    if (shown.frame->line)
      return render_source(shown.frame->file, shown.frame->line, shown.frame->module, options, indent);
  return {};
}

std::string render_place(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                         std::string_view indent) {
  std::string text = std::string(indent) + describe_place(place, options) + "\n";
  std::string deeper = std::string(indent) + "    ";
  if (place.closed_by_gc && place.live)
    text +=
        fmt::format("{}{} more closed by the garbage collector, not by you\n", deeper, write_count(place.closed_by_gc));
  std::string frames = render_frames(*place.report, place.site->stack, options, deeper);
  text += frames.empty() ? deeper + "(no stack)\n" : frames;
  for (const report::Hint* hint : hints_of(place))
    text += cut_to(deeper + "hint: " + printable(hint->text), options.columns) + "\n";
  text += render_lines_of(place, options, deeper) + render_retention(place, retention, options, deeper);
  if (!place.site->exceeds.empty())
    text += fmt::format("{}more than a suppression allows: {}\n", deeper, printable(place.site->exceeds));
  return text;
}
std::string render_place(const Place& place, const TextOptions& options, std::string_view indent) {
  return render_place(place, RetentionPaths(*place.report, options.paths), options, indent);
}

namespace {

std::string render_totals(const Report& report) {
  std::string text;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto subject = static_cast<Subject>(at);
    const Totals* totals = report.totals_of(subject);
    ledger::Coverage coverage = report.coverage[at];
    std::string_view name = report::row_of(subject).name;
    if (!totals) {
      if (coverage == ledger::Coverage::unavailable) text += fmt::format("  {:<7} could not be tracked\n", name);
      continue;
    }
    // Few programs have any of these: that there are none is not worth a line.
    bool is_rare = subject == Subject::thread || subject == Subject::child ||
                   report::is_handle_kind(static_cast<ledger::Kind>(at));
    if (is_rare && !(*totals)[Counter::total] && !(*totals)[Counter::unattributed]) continue;
    std::string line = describe_totals(subject, *totals, report);
    if (coverage != ledger::Coverage::exact) line += fmt::format(" ({})", report::word_of(coverage));
    text += fmt::format("  {:<7} {}\n", name, line);
  }
  return text;
}

}  // namespace

std::string render_text(const Report& report, const TextOptions& options) {
  std::string text = "unfreed: " + tinted(describe_process(report.process), Tint::bold, options.colour) + " " +
                     describe_end(report) + "\n";
  if (is_kernel_view(report))
    return text + render_rules(report, options) + render_kernel_view(report, options) + render_notes(report, options);
  if (report.exhaustion) {
    std::string call =
        fmt::format("{} failed with {}", printable(report.exhaustion->function), printable(report.exhaustion->error));
    text += "  " + tinted("a limit was reached: " + call, Tint::red, options.colour) + "\n";
  }
  if (report.threshold)
    text += "  " + tinted("reached " + printable(report.threshold->rule), Tint::red, options.colour) + "\n";
  text += render_totals(report) + render_watch(report, options) + render_rules(report, options);
  text += options.is_table ? render_table(report, options) : render_places(report, options);
  text += render_growth(report, options);
  text += render_threads(report, options) + render_goroutines(report, options) + render_misuse(report, options) +
          render_exec_leaks(report, options);
  text += render_untracked(report, options);
  text += render_unattributed(report, options) + render_peak(report, options);
  return text + render_failure(report, options) + render_notes(report, options);
}

std::string render_report_text(Reports reports, const RenderOptions& options) {
  SourceTexts sources(options.root ? options.root->folder() : "");
  TextOptions text;
  text.colour = options.colour;
  text.columns = options.columns;
  text.most_sites = std::max<size_t>(20, options.most_sites);
  text.most_quiet_sites = std::max<size_t>(10, options.most_sites);
  text.most_frames = 12;
  text.is_table = options.view == TextView::table;
  text.sources = &sources;
  text.source_lines = options.source_lines;
  text.has_whole_paths = options.has_whole_paths;
  std::string shown;
  for (const Report* report : reports) {
    if (!shown.empty()) shown += '\n';
    if (options.view == TextView::tree || options.view == TextView::inverted_tree) {
      shown += render_tree(*report, options, text);
      continue;
    }
    if (options.listed) {
      shown += render_listing(*report, *options.listed, text);
      continue;
    }
    shown += render_text(*report, text);
    if (options.has_whole_paths && !(report->grading && report->grading->state == report::GradingState::done))
      shown += fmt::format("  who keeps heap blocks alive is not known: {}\n",
                           report->grading ? printable(report->grading->reason)
                                           : "the report was made without a search for lost ones (`unfreed snapshot "
                                             "--grade`, or at the program's end)");
    if (options.show_suppressed) shown += render_suppressed(*report, text);
  }
  return shown;
}

bool wants_colour(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_colour && *no_colour) return false;
  return terminal && std::strcmp(terminal, "dumb") != 0 && isatty(descriptor) == 1;
}

}  // namespace unfreed::render
