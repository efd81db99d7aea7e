#include "render/text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "evaluate/verdict.h"
#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/kernel_view.h"
#include "render/missing_lines.h"
#include "render/place_text.h"
#include "render/quantities.h"
#include "render/renderers.h"
#include "render/retention.h"
#include "render/telling_frames.h"
#include "render/text_parts.h"
#include "render/totals_text.h"
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
  if (process.duration_ns)
    text += fmt::format("{} {}",
                        !process.attached             ? " after"
                        : report.backend == "preload" ? "; it was tracked for"
                                                      : "; it was traced for",
                        write_duration(*process.duration_ns));
  return text;
}

const Site* find_peak(const Report& report) {
  constexpr uint64_t kMuch = 8, kMuchWithoutFailure = 100;
  bool has_failed = std::any_of(report.failures.begin(), report.failures.end(),
                                [](const report::Failure& one) { return one.kind == ledger::Kind::fd; });
  const uint64_t least = has_failed ? kMuch : kMuchWithoutFailure;
  const Site* most = nullptr;
  for (const Site& site : report.sites) {
    bool is_candidate =
        site.kind == ledger::Kind::fd && site.counts() && site.at_peak >= least && site.live < site.at_peak / 2;
    if (is_candidate && (!most || site.at_peak > most->at_peak)) most = &site;
  }
  return most;
}

std::string describe_peak(const Site& site) {
  return write_number_of(site.at_peak, "descriptor") + " at the peak, mostly closed since";
}

namespace {

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

/// The call site that held most at the peak, if little of that is left.
std::string render_peak(const Report& report, const TextOptions& options) {
  const Site* most = find_peak(report);
  if (!most) return {};
  std::string text = fmt::format("\n  {} from {}\n", tinted(describe_peak(*most), Tint::bold, options.colour),
                                 printable(most->acquired_by));
  return text + render_frames(report, most->stack, options, "      ");
}

/// Descriptors without a stack: what they refer to.
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

/// Programs that were not tracked.
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

/// The worst places, kind by kind: kinds with a broken rule first, then in the order of kinds. Of each kind, also how
/// many more there are.
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

std::string_view program_of(const report::Process& process) {
  if (!process.program.empty()) return process.program;
  return base_name(process.exe.empty() && !process.argv.empty() ? process.argv[0] : process.exe);
}

std::string describe_threshold(const report::Threshold& threshold) {
  return fmt::format("reached {}: {}", printable(threshold.rule), threshold.value);
}

std::string describe_process(const report::Process& process) {
  return fmt::format("{} (pid {})", printable(program_of(process)), process.pid);
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
    // Unattributed descriptors and children are in it; threads are counted apart.
    if (kind == ledger::Kind::thread) held += (*totals)[Counter::unattributed];
    if (held) parts.push_back(write_number_of(held, noun_of(kind)));
  }
  if (const Totals* heap = report.totals_of(Subject::heap)) {
    if (uint64_t lost = heap->counted(Counter::lost)) parts.push_back(write_number_of(lost, "lost block"));
  }
  return parts.empty() ? "nothing" : join(parts, ", ");
}

std::string render_text(const Report& report, const TextOptions& options) {
  std::string text = "unfreed: " + tinted(describe_process(report.process), Tint::bold, options.colour) + " " +
                     describe_end(report) + "\n";
  if (is_kernel_view(report))
    return text + render_rules(report, options) + render_kernel_view(report, options) + render_notes(report, options);
  if (!report.process.test.empty()) text += fmt::format("  started in test {}\n", printable(report.process.test));
  if (report.exhaustion) {
    std::string call =
        fmt::format("{} failed with {}", printable(report.exhaustion->function), printable(report.exhaustion->error));
    text += "  " + tinted("a limit was reached: " + call, Tint::red, options.colour) + "\n";
  }
  if (report.threshold) text += "  " + tinted(describe_threshold(*report.threshold), Tint::red, options.colour) + "\n";
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
