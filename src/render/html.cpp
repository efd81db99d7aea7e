#include "render/html.h"

#include <fmt/format.h>

#include "render/frames.h"
#include "render/quantities.h"
#include "render/text.h"

namespace unfreed::render {

namespace {

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark; --line: #8884; --faint: #888; --bad: #c33; --good: #3a3; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
details { border-top: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
ol { margin: .4rem 0; } code, .frame { font-family: ui-monospace, monospace; font-size: .9em; }
.faint { color: var(--faint); } .bad { color: var(--bad); font-weight: bold; } .good { color: var(--good); }
input { font: inherit; padding: .2rem .4rem; width: 20rem; max-width: 100%; }
</style>
)";

/// The filter over the sites; without scripts the page is complete, only longer.
constexpr std::string_view kScript = R"(<script>
const box = document.getElementById('filter');
box.hidden = false;
box.addEventListener('input', () => {
  const wanted = box.value.toLowerCase();
  for (const site of document.querySelectorAll('details.site'))
    site.hidden = !site.textContent.toLowerCase().includes(wanted);
});
</script>
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (char character : printable(text)) {
    switch (character) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += character;
    }
  }
  return out;
}

std::string frame_html(const Frame& frame) {
  std::string place;
  if (!frame.file.empty()) place = frame.line ? fmt::format("{}:{}", frame.file, frame.line) : frame.file;
  std::string where = fmt::format("{}+{:#x}", frame.module, frame.offset);
  std::string name = frame.function.empty() ? std::string(base_name(where)) : frame.function;
  return fmt::format("<li class=\"frame{}\" title=\"{}\">{} <span class=\"faint\">{}{}</span></li>\n",
                     is_runtime_frame(frame) ? " faint" : "", escaped(where), escaped(name),
                     escaped(place.empty() ? std::string(base_name(frame.module)) : place),
                     frame.inlined ? " (inlined)" : "");
}

std::string stack_html(const std::vector<Frame>& stack, bool truncated) {
  if (stack.empty()) return "<p class=\"faint\">no stack</p>\n";
  std::string text = "<ol>\n";
  for (const Frame& frame : stack) text += frame_html(frame);
  return text + "</ol>\n" + (truncated ? "<p class=\"faint\">outer frames are missing</p>\n" : "");
}

std::string objects_html(const Site& site) {
  if (site.objects.empty()) return {};
  std::string text = "<table>\n<tr><th>descriptor</th><th>what</th><th>thread</th><th>age</th></tr>\n";
  for (const Object& object : site.objects) {
    std::string what = object.target.empty() ? object.name : object.target;
    if (!object.state.empty()) what += (what.empty() ? "" : ", ") + object.state;
    text += fmt::format(
        "<tr><td class=\"number\">{}</td><td><code>{}</code></td><td class=\"number\">{}</td><td>{}</td></tr>\n",
        object.fd ? std::to_string(*object.fd) : "", escaped(what), object.thread ? std::to_string(*object.thread) : "",
        object.age_ns ? write_duration(*object.age_ns) : "");
  }
  return text + "</table>\n";
}

std::string site_html(const MergedSite& merged, bool open) {
  const Site& site = merged.site;
  std::string size = site.kind == "heap" ? ", " + write_bytes(site.bytes) : "";
  std::string first = site.stack.empty() ? "" : [&] {
    auto chosen = choose_frames(site.stack, "", 1);
    return chosen.empty() ? std::string() : chosen[0].frame->function;
  }();
  std::string remark;
  if (!site.suppressed_by.empty())
    remark = "suppressed by " + site.suppressed_by;
  else if (!site.grade.empty() && !counts(site))
    remark = site.grade;
  std::string text = fmt::format(
      "<details class=\"site\"{}><summary><b>{} × {}</b>{} from <code>{}</code> in <code>{}</code> "
      "<span class=\"faint\">{}</span></summary>\n",
      open ? " open" : "", write_count(site.live), escaped(site.kind), size, escaped(site.acquired_by), escaped(first),
      escaped(remark));
  text += fmt::format("<p class=\"faint\">{} in all; signature <code>{}</code></p>\n", write_count(site.total),
                      escaped(site.signature));
  return text + stack_html(merged.whole_stack(), site.truncated) + objects_html(site) + "</details>\n";
}

std::string totals_html(const Report& report) {
  std::string text = "<h2>Totals</h2>\n<table>\n";
  for (const KindTotals& totals : report.totals) {
    text += fmt::format("<tr><th>{}</th><td>", escaped(totals.kind));
    for (const auto& [name, value] : totals.counters) {
      bool is_size = name.ends_with("bytes");
      text += fmt::format("{} <b>{}</b> &nbsp; ", escaped(name), is_size ? write_bytes(value) : write_count(value));
    }
    text += fmt::format("<span class=\"faint\">{}</span></td></tr>\n", escaped(report.coverage_of(totals.kind)));
  }
  return text + "</table>\n";
}

std::string rules_html(const Report& report) {
  if (report.rules.empty()) return {};
  std::string text = "<h2>Rules</h2>\n<table>\n";
  for (const RuleOutcome& rule : report.rules)
    text += fmt::format("<tr><td><code>{}</code></td><td class=\"{}\">{}</td><td class=\"number\">{}</td></tr>\n",
                        escaped(rule.rule),
                        rule.broken    ? "bad"
                        : rule.checked ? "good"
                                       : "faint",
                        rule.broken    ? "broken"
                        : rule.checked ? "holds"
                                       : "not checked",
                        rule.value ? write_count(*rule.value) : escaped(rule.reason));
  return text + "</table>\n";
}

std::string process_html(const Report& report) {
  std::string arguments;
  for (const std::string& word : report.process.argv) arguments += (arguments.empty() ? "" : " ") + word;
  std::string text = fmt::format("<h1>{}</h1>\n<p><code>{}</code></p>\n", escaped(describe_process(report.process)),
                                 escaped(arguments));
  text += fmt::format("<p class=\"faint\">started {}, report made by {}", escaped(report.process.started),
                      escaped(report.trigger));
  if (report.process.duration_ns) text += " after " + write_duration(*report.process.duration_ns);
  if (report.process.exit_status) text += fmt::format(", exit status {}", *report.process.exit_status);
  if (!report.process.signal.empty()) text += ", signal " + escaped(report.process.signal);
  text += "</p>\n";
  if (!report.complete) text += "<p class=\"bad\">This report is incomplete.</p>\n";
  for (const std::string& note : report.notes) text += fmt::format("<p>{}</p>\n", escaped(note));
  return text;
}

/// A browser is slow with more; the JSON has them all.
constexpr size_t kMostSites = 1000;

}  // namespace

std::string render_html(const Report& report) {
  std::string text(kHead);
  text += fmt::format("<title>unfreed: {}</title>\n</head>\n<body>\n", escaped(describe_process(report.process)));
  text += process_html(report) + rules_html(report) + totals_html(report);
  text += "<h2>What is held, and which code took it</h2>\n<input id=\"filter\" placeholder=\"filter\" hidden>\n";
  std::vector<MergedSite> sites = merge_by_signature(report);
  size_t shown = 0;
  for (; shown < std::min(sites.size(), kMostSites); ++shown) text += site_html(sites[shown], shown < 3);
  if (sites.empty()) text += "<p>Nothing.</p>\n";
  if (uint64_t left_out = sites.size() - shown + report.sites_omitted)
    text += fmt::format("<p>and {} more places, which hold less</p>\n", write_count(left_out));
  bool any = false;
  for (const Descriptor& one : report.descriptors) {
    if (!any) text += "<h2>Other open descriptors</h2>\n<table>\n";
    any = true;
    text += fmt::format("<tr><td class=\"number\">{}</td><td>{}</td><td><code>{}</code></td></tr>\n", one.fd,
                        escaped(one.origin), escaped(one.target));
  }
  if (any) text += "</table>\n";
  if (!report.failures.empty()) text += "<h2>Calls that failed for want of resources</h2>\n";
  for (const Failure& failure : report.failures)
    text += fmt::format(
        "<details><summary><code>{}</code>: {}, {} times; {} were held at the first</summary>\n{}</details>\n",
        escaped(failure.function), escaped(failure.error), write_count(failure.count), write_count(failure.live_then),
        stack_html(failure.stack, false));
  text += kScript;
  return text + "</body>\n</html>\n";
}

}  // namespace unfreed::render
