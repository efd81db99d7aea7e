#include "render/text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "render/frames.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

namespace {

/// "descriptor" for fd, and so on; a kind that is new to this program goes by its own name.
std::string_view thing_of(std::string_view kind) {
  if (kind == "fd") return "descriptor";
  if (kind == "heap") return "block";
  if (kind == "child") return "zombie";
  return kind;
}

/// "name value" of the counters in `fields` that are not zero.
void add_counters(const KindTotals& totals, std::initializer_list<std::pair<const char*, const char*>> fields,
                  std::vector<std::string>& out) {
  for (const auto& [field, text] : fields)
    if (uint64_t value = totals.value(field)) out.push_back(fmt::format("{} {}", write_count(value), text));
}

std::string describe_totals(const KindTotals& totals) {
  std::vector<std::string> parts;
  uint64_t live = totals.value("live");
  uint64_t total = totals.value("total");
  std::string held = live ? write_count(live) : "none";
  if (totals.kind == "heap") {
    parts.push_back(live ? fmt::format("{} in {}", write_bytes(totals.value("bytes")), write_number_of(live, "block"))
                         : "none");
    parts[0] +=
        fmt::format(" held, of {} in {}", write_bytes(totals.value("total_bytes")), write_number_of(total, "block"));
    if (uint64_t interval = totals.value("sample_bytes"))
      parts.push_back(fmt::format("estimated from one block in {}: ± {}, {}", write_bytes(interval),
                                  write_bytes(totals.value("bytes_error")),
                                  write_number_of(totals.value("live_error"), "block")));
  } else if (totals.kind == "thread") {
    parts.push_back(fmt::format("{} ended and never joined, of {} started", held, write_count(total)));
    add_counters(totals, {{"running", "still running"}, {"unattributed", "unattributed"}}, parts);
  } else if (totals.kind == "child") {
    parts.push_back(fmt::format("{} ended and never waited for, of {} started", held, write_count(total)));
    add_counters(totals, {{"running", "still running"}, {"unattributed", "unattributed"}}, parts);
  } else {
    parts.push_back(fmt::format("{} held, of {} acquired", held, write_count(total)));
    if (uint64_t peak = totals.value("peak")) parts.push_back(fmt::format("at most {} at once", write_count(peak)));
    add_counters(totals, {{"unattributed", "unattributed"}, {"inherited", "inherited"}}, parts);
  }
  add_counters(totals, {{"suppressed", "suppressed"}}, parts);
  return join(parts, "; ");
}

std::string describe_end(const Report& report) {
  const Process& process = report.process;
  std::string text;
  if (!process.signal.empty()) {
    text = "was killed by signal " + printable(process.signal);
    if (!process.signal_name.empty()) text += fmt::format(" ({})", printable(process.signal_name));
  } else if (process.exit_status) {
    text = fmt::format("ended with status {}", *process.exit_status);
  } else {
    text = report.trigger == "post_mortem" ? "has gone" : "still running";
  }
  if (process.duration_ns) text += fmt::format(" after {}", write_duration(*process.duration_ns));
  return text;
}

/// Up to two targets, and how many more there are.
std::string describe_targets(const Site& site, const TextOptions& options) {
  std::vector<std::string> different;
  for (const Object& object : site.objects) {
    std::string text = options.paths.shorten(object.target.empty() ? object.name : object.target);
    if (!text.empty() && std::find(different.begin(), different.end(), text) == different.end())
      different.push_back(text);
  }
  if (different.empty()) return {};
  size_t shown = std::min<size_t>(different.size(), 2);
  std::string text = join({different.begin(), different.begin() + static_cast<ptrdiff_t>(shown)}, ", ");
  return different.size() > shown ? text + ", …" : text;
}

std::string render_rules(const Report& report, const TextOptions& options) {
  std::string text;
  for (const RuleOutcome& rule : report.rules) {
    std::string name = printable(rule.rule);
    if (rule.broken)
      text += "  " + tinted(fmt::format("rule {} is broken: {}", name, write_count(rule.value.value_or(0))), Tint::red,
                            options.colour);
    else if (!rule.checked)
      text += "  " + tinted(fmt::format("rule {} could not be checked: {}", name, printable(rule.reason)), Tint::yellow,
                            options.colour);
    else
      text += fmt::format("  rule {} holds: {}", name, write_count(rule.value.value_or(0)));
    text += '\n';
  }
  return text;
}

std::string render_failure(const Report& report, const TextOptions& options) {
  if (report.failures.empty()) return {};
  const Failure& first = report.failures.front();
  std::string text = fmt::format("\n  first failed {}: {}", printable(first.function), printable(first.error));
  if (first.count > 1) text += fmt::format(", {} times", write_count(first.count));
  if (first.live_then) text += fmt::format("; {} were held then", write_count(first.live_then));
  if (first.thread) text += fmt::format("; thread {}", first.thread);
  text += '\n';
  return text + render_frames(first.stack, report.process.exe, options, "      ");
}

/// Descriptors that nobody has a stack for: at least what they lead to.
std::string render_unattributed(const Report& report, const TextOptions& options) {
  std::vector<std::string> shown;
  size_t count = 0;
  for (const Descriptor& one : report.descriptors) {
    if (one.origin != "unattributed" || ++count > options.most_sites) continue;
    shown.push_back(one.target.empty() ? fmt::format("{}", one.fd)
                                       : fmt::format("{} ({})", one.fd, options.paths.shorten(one.target)));
  }
  if (shown.empty()) return {};
  std::string more = count > shown.size() ? ", …" : "";
  return fmt::format("\n  {}: {}{}\n", tinted("open, and no watched call explains it", Tint::bold, options.colour),
                     join(shown, ", "), more);
}

std::string render_notes(const Report& report, const TextOptions& options) {
  std::string text;
  size_t shown = 0;
  for (const std::string& note : report.notes) {
    if (shown++ == options.most_notes) {
      text += fmt::format("  note: and {} more\n", report.notes.size() - options.most_notes);
      break;
    }
    text += fmt::format("  note: {}\n", printable(note));
  }
  if (!report.complete) text = "  " + tinted("this report is incomplete", Tint::yellow, options.colour) + "\n" + text;
  return text.empty() ? text : "\n" + text;
}

/// Sites worth a person's time: those that count, of kinds with a broken rule first, else as the report orders them.
std::vector<MergedSite> worst_sites(const Report& report, const TextOptions& options, size_t& left_out) {
  std::vector<MergedSite> sites = merge_by_signature(report);
  std::erase_if(sites, [](const MergedSite& one) { return !counts(one.site); });
  auto rule_is_broken = [&](const MergedSite& one) {
    return std::any_of(report.rules.begin(), report.rules.end(), [&](const RuleOutcome& rule) {
      std::string_view about = rule.rule;
      if (about.starts_with("site.")) about.remove_prefix(5);
      return rule.broken && about.starts_with(one.site.kind);
    });
  };
  std::stable_partition(sites.begin(), sites.end(), rule_is_broken);
  size_t before = sites.size();
  size_t heap_sites = 0;
  std::erase_if(sites, [&](const MergedSite& one) {
    return one.site.kind == "heap" && !rule_is_broken(one) && ++heap_sites > options.most_heap_sites;
  });
  left_out = before - sites.size();
  return sites;
}

}  // namespace

std::string describe_process(const Process& process) {
  std::string_view name = process.exe.empty() && !process.argv.empty() ? process.argv[0] : process.exe;
  return fmt::format("{} (pid {})", printable(base_name(name)), process.pid);
}

std::string describe_held(const Report& report) {
  std::vector<std::string> parts;
  for (const KindTotals& totals : report.totals) {
    // Nearly every program ends with heap blocks in use: that alone is no news.
    if (totals.kind == "heap" || totals.is_of_deeds()) continue;
    uint64_t suppressed = std::min(totals.value("suppressed"), totals.value("live"));
    uint64_t held = totals.value("live") - suppressed + totals.value("unattributed");
    if (held) parts.push_back(write_number_of(held, thing_of(totals.kind)));
  }
  return parts.empty() ? "nothing" : join(parts, ", ");
}

std::string render_site(const MergedSite& merged, const std::string& exe, const TextOptions& options,
                        std::string_view indent) {
  const Site& site = merged.site;
  std::string heading = write_number_of(site.live, thing_of(site.kind));
  if (site.kind == "heap") heading += ", " + write_bytes(site.bytes);
  std::string text = fmt::format("{}{}", indent, tinted(heading, Tint::bold, options.colour));
  if (!site.acquired_by.empty()) text += " from " + printable(site.acquired_by);
  if (std::string targets = describe_targets(site, options); !targets.empty()) text += ": " + targets;
  text += '\n';
  std::string deeper = std::string(indent) + "    ";
  std::string frames = render_frames(merged.whole_stack(), exe, options, deeper);
  return text + (frames.empty() ? deeper + "(no stack)\n" : frames);
}

std::string render_text(const Report& report, const TextOptions& options) {
  std::string text = "unfreed: " + tinted(describe_process(report.process), Tint::bold, options.colour) + " " +
                     describe_end(report) + "\n";
  if (!report.exhaustion.empty())
    text += "  " + tinted("a limit was reached: " + printable(report.exhaustion), Tint::red, options.colour) + "\n";
  for (const KindTotals& totals : report.totals) {
    // Few programs start any: that alone is no news.
    if (totals.is_of_deeds() || (totals.kind == "child" && !totals.value("total") && !totals.value("unattributed")))
      continue;
    std::string_view coverage = report.coverage_of(totals.kind);
    std::string line = describe_totals(totals);
    if (!coverage.empty() && coverage != "exact") line += fmt::format(" ({})", printable(coverage));
    text += fmt::format("  {:<7} {}\n", printable(totals.kind), line);
  }
  for (const auto& [kind, how] : report.coverage)
    if (how == "unavailable" && !report.totals_of(kind)) text += fmt::format("  {:<7} not seen\n", printable(kind));
  text += render_rules(report, options);
  size_t left_out = 0;
  std::vector<MergedSite> sites = worst_sites(report, options, left_out);
  size_t shown = std::min(sites.size(), options.most_sites);
  for (size_t at = 0; at < shown; ++at) text += "\n" + render_site(sites[at], report.process.exe, options, "  ");
  left_out += sites.size() - shown + report.sites_omitted;
  if (left_out) text += fmt::format("\n  and {} more\n", write_number_of(left_out, "place"));
  text += render_threads(report, options) + render_misuse(report, options) + render_crossings(report, options);
  return text + render_unattributed(report, options) + render_failure(report, options) + render_notes(report, options);
}

bool wants_colour(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_colour && *no_colour) return false;
  return terminal && std::strcmp(terminal, "dumb") != 0 && isatty(descriptor) == 1;
}

}  // namespace unfreed::render
