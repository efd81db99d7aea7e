// A report as one page that needs nothing else: no scripts from elsewhere, no fonts, no pictures.

#include <fmt/format.h>

#include <algorithm>

#include "render/ages.h"
#include "render/frames.h"
#include "render/growth_text.h"
#include "render/markup.h"
#include "render/quantities.h"
#include "render/renderers.h"
#include "render/retention.h"
#include "render/text.h"
#include "render/text_parts.h"
#include "report/describe.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Report;

namespace {

constexpr std::string_view kHead = R"(<meta name="viewport" content="width=device-width, initial-scale=1">
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

std::string frame_html(const StackFrame& frame) {
  std::string place;
  if (!frame.file.empty()) place = frame.line ? fmt::format("{}:{}", frame.file, frame.line) : std::string(frame.file);
  std::string where = fmt::format("{}+{:#x}", frame.module, frame.offset);
  std::string_view name = frame.function.empty() ? base_name(where) : frame.function;
  return fmt::format("<li class=\"frame{}\" title=\"{}\">{} <span class=\"faint\">{}{}</span></li>\n",
                     is_runtime_frame(frame) ? " faint" : "", escape_markup(where), escape_markup(name),
                     escape_markup(place.empty() ? base_name(frame.module) : place), frame.inlined ? " (inlined)" : "");
}

std::string stack_html(const Report& report, report::StackId id, bool truncated) {
  std::vector<StackFrame> stack = list_frames(report, id);
  if (stack.empty()) return "<p class=\"faint\">no stack</p>\n";
  std::string text = "<ol>\n";
  for (const StackFrame& frame : stack) text += frame_html(frame);
  return text + "</ol>\n" + (truncated ? "<p class=\"faint\">outer frames are missing</p>\n" : "");
}

std::string objects_html(const Place& place) {
  if (place.objects.empty()) return {};
  std::string text = "<table>\n<tr><th>descriptor</th><th>what</th><th>thread</th><th>age</th></tr>\n";
  for (const report::Object* one : place.objects) {
    const report::Object& object = *one;
    std::string what(object.target.empty() ? object.name : object.target);
    if (!object.state.empty()) what += fmt::format("{}{}", what.empty() ? "" : ", ", object.state);
    text += fmt::format(
        "<tr><td class=\"number\">{}</td><td><code>{}</code></td><td class=\"number\">{}</td><td>{}</td></tr>\n",
        object.fd ? std::to_string(*object.fd) : "", escape_markup(what),
        object.thread ? std::to_string(*object.thread) : "", object.age_ns ? write_duration(*object.age_ns) : "");
  }
  return text + "</table>\n";
}

std::string retention_html(const Place& place, const RetentionPaths& retention) {
  constexpr size_t kMostPaths = 20;
  std::vector<RetentionPath> paths = retention.to(place);
  if (paths.empty()) return {};
  std::string text = "<table>\n<tr><th>blocks</th><th>bytes</th><th>kept by</th></tr>\n";
  for (size_t at = 0; at < std::min(paths.size(), kMostPaths); ++at)
    text += fmt::format("<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
                        write_count(paths[at].blocks), write_bytes(paths[at].bytes),
                        escape_markup(join(paths[at].steps, " → ")));
  text += "</table>\n";
  if (paths.size() > kMostPaths)
    text += fmt::format("<p class=\"faint\">and {}</p>\n", write_number_of(paths.size() - kMostPaths, "more path"));
  return text;
}

std::string place_html(const Place& place, const RetentionPaths& retention, bool open) {
  const report::Site& site = *place.site;
  std::string size =
      (place.bytes ? ", " + write_bytes(place.bytes) : "") + describe_loss(place) + describe_growth(place);
  std::vector<StackFrame> stack = place.stack();
  const auto& found = retention.telling().of(site.stack);
  const StackFrame first = found ? found->frame : StackFrame();
  std::string line = first.line ? fmt::format(" ({}:{})", base_name(first.file), first.line) : std::string();
  std::string remark;
  if (!site.suppressed_by.empty())
    remark = fmt::format("suppressed by {}", site.suppressed_by);
  else if (!site.exceeds.empty())
    remark = fmt::format("more than a suppression allows: {}", site.exceeds);
  else if (!place.counts())
    remark = report::word_of(site.grade);
  std::string text = fmt::format(
      "<details class=\"site\"{}><summary><b>{} × {}</b>{} from <code>{}</code> in <code>{}</code>{} "
      "<span class=\"faint\">{}</span></summary>\n",
      open ? " open" : "", write_count(place.live), report::kind_name(site.kind), size, escape_markup(site.acquired_by),
      escape_markup(first.function), escape_markup(line), escape_markup(remark));
  text += fmt::format("<p class=\"faint\">{} in all{}; signature <code>{:016x}</code></p>\n", write_count(place.total),
                      describe_ages(place), site.signature);
  for (const report::Hint* hint : hints_of(place)) text += fmt::format("<p>hint: {}</p>\n", escape_markup(hint->text));
  return text + stack_html(*place.report, site.stack, place.truncated) + retention_html(place, retention) +
         objects_html(place) + "</details>\n";
}

std::string totals_html(const Report& report) {
  std::string text = "<h2>Totals</h2>\n<table>\n";
  for (size_t at = 0; at < report::kSubjectCount; ++at) {
    auto subject = static_cast<report::Subject>(at);
    const report::Totals* totals = report.totals_of(subject);
    if (!totals) continue;
    text += fmt::format("<tr><th>{}</th><td>", report::row_of(subject).name);
    report::Totals::each_of(subject, [&](report::Counter counter, const report::CounterRow& row) {
      uint64_t value = (*totals)[counter];
      if (counter == report::Counter::growth) return;  // in a table of its own
      text += fmt::format("{} <b>{}</b> &nbsp; ", row.name,
                          row.name.find("bytes") != row.name.npos ? write_bytes(value) : write_count(value));
    });
    ledger::Coverage coverage = report.coverage[static_cast<size_t>(report::row_of(subject).kind)];
    text += fmt::format("<span class=\"faint\">{}</span></td></tr>\n", report::word_of(coverage));
  }
  return text + "</table>\n";
}

std::string watch_html(const Report& report) {
  if (!report.watch) return {};
  std::string text = fmt::format(
      "<h2>Growth</h2>\n<p class=\"faint\">{} over {}</p>\n<table>\n<tr><th>kind</th><th>at first</th>"
      "<th>at last</th><th>growth</th><th>limit</th></tr>\n",
      write_number_of(report.watch->looks, "look"), write_duration(report.watch->duration_ns));
  for (const report::KindGrowth& one : report.watch->kinds) {
    auto number = one.kind == ledger::Kind::heap ? write_bytes : write_count;
    text += fmt::format(
        "<tr><th>{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td "
        "class=\"{}\">{}</td><td>{}</td></tr>\n",
        report::kind_name(one.kind), number(one.growth.first), number(one.growth.last),
        one.growth.course == report::Course::grows ? "bad" : "faint",
        escape_markup(describe_growth(one.growth, one.kind)), describe_limit(one));
  }
  return text + "</table>\n";
}

std::string rules_html(const Report& report) {
  if (report.rules.empty()) return {};
  std::string text = "<h2>Rules</h2>\n<table>\n";
  for (const report::RuleOutcome& rule : report.rules)
    text += fmt::format("<tr><td><code>{}</code></td><td class=\"{}\">{}</td><td class=\"number\">{}</td></tr>\n",
                        escape_markup(rule.rule),
                        rule.broken         ? "bad"
                        : rule.is_checked() ? "good"
                                            : "faint",
                        rule.broken         ? "broken"
                        : rule.is_checked() ? "pass"
                                            : "not checked",
                        rule.value ? write_count(*rule.value) : escape_markup(rule.unchecked));
  return text + "</table>\n";
}

std::string process_html(const Report& report) {
  std::string arguments;
  for (report::Text word : report.process.argv) arguments += fmt::format("{}{}", arguments.empty() ? "" : " ", word);
  std::string text = fmt::format("<h1>{}</h1>\n<p><code>{}</code></p>\n",
                                 escape_markup(describe_process(report.process)), escape_markup(arguments));
  text += fmt::format("<p class=\"faint\">started {}, report trigger: {}", escape_markup(report.process.started),
                      report::word_of(report.trigger));
  if (report.process.duration_ns) text += " after " + write_duration(*report.process.duration_ns);
  if (report.process.exit_status) text += fmt::format(", exit status {}", *report.process.exit_status);
  if (report.process.signal) text += fmt::format(", signal {}", *report.process.signal);
  text += "</p>\n";
  if (report.exhaustion)
    text += fmt::format("<p class=\"bad\">A limit was reached: {} failed with {}</p>\n",
                        escape_markup(report.exhaustion->function), escape_markup(report.exhaustion->error));
  if (!report.complete) text += "<p class=\"bad\">This report is incomplete.</p>\n";
  for (report::Text note : report.notes) text += fmt::format("<p>{}</p>\n", escape_markup(note));
  return text;
}

std::string threads_html(const Report& report) {
  if (report.threads.empty()) return {};
  std::string text = "<h2>Threads and what they hold</h2>\n";
  for (const report::Thread& thread : report.threads) {
    text += fmt::format(
        "<details><summary>thread <b>{}</b> {} <span class=\"faint\">{}, {}; {} descriptors, {} of heap</span>"
        "</summary>\n",
        thread.thread, escape_markup(thread.name), escape_markup(thread.thread_class), escape_markup(thread.state),
        write_count(thread.holds.fd),
        write_bytes(static_cast<uint64_t>(std::max<int64_t>(thread.holds.heap_bytes, 0))));
    if (report::Text start = function_of(report, thread.start_routine); !start.empty())
      text += fmt::format("<p>started in <code>{}</code></p>\n", escape_markup(start));
    if (thread.stack) text += "<p>blocked at</p>\n" + stack_html(report, *thread.stack, thread.truncated);
    for (const report::Object& one : thread.holds.descriptors)
      text += fmt::format("<p>descriptor {} <code>{}</code></p>\n", one.fd.value_or(-1), escape_markup(one.target));
    text += "</details>\n";
  }
  return text;
}

std::string goroutines_html(const Report& report) {
  if (report.goroutines.empty()) return {};
  std::string text = "<h2>Goroutines and what they hold</h2>\n";
  for (const report::GoroutineGroup& group : report.goroutines) {
    std::string waiting = group.waiting_ns ? ", for at least " + write_duration(*group.waiting_ns) : "";
    text += fmt::format("<details><summary><b>{}</b> <span class=\"faint\">{} {}{}; {}</span></summary>\n",
                        write_number_of(group.count, "goroutine"), escape_markup(group.state),
                        escape_markup(group.wait_reason), waiting, write_number_of(group.fd, "descriptor"));
    if (group.stack) text += "<p>at</p>\n" + stack_html(report, group.stack, group.truncated);
    if (group.created_at) text += "<p>started at</p>\n" + stack_html(report, group.created_at, false);
    for (const report::Goroutine& one : group.goroutines)
      for (const report::Object& held : one.descriptors)
        text += fmt::format("<p>goroutine {}: descriptor {} <code>{}</code></p>\n", one.goroutine, held.fd.value_or(-1),
                            escape_markup(held.target));
    text += "</details>\n";
  }
  return text;
}

std::string call_html(std::string_view title, const std::optional<report::ClosingCall>& call, const Report& report) {
  if (!call) return {};
  return fmt::format("<p>{} by <code>{}</code> in thread {}</p>\n{}", title, escape_markup(call->function),
                     call->thread, stack_html(report, call->stack, call->truncated));
}

std::string misuse_html(const Report& report) {
  if (report.misuse.empty()) return {};
  std::string text = "<h2>Invalid closes</h2>\n";
  for (const report::Misuse& one : report.misuse) {
    text +=
        fmt::format("<details><summary>descriptor <b>{}</b>: {}, {} times <span class=\"faint\">{}</span></summary>\n",
                    one.fd, escape_markup(one.type), write_count(one.count), escape_markup(one.suppressed_by));
    text += call_html("closed", one.closed, report) + call_html("reopened before that", one.reopened, report) +
            call_html("first closed", one.first_closed, report) + call_html("opened", one.opened, report) +
            "</details>\n";
  }
  return text;
}

std::string exec_leaks_html(const Report& report) {
  if (report.exec_leaks.empty()) return {};
  std::string text = "<h2>Descriptors that other programs inherited</h2>\n";
  for (const report::ExecLeak& one : report.exec_leaks)
    text += fmt::format(
        "<details><summary>descriptor <b>{}</b> by <code>{}</code>, {} times; opened by <code>{}</code></summary>\n{}"
        "</details>\n",
        one.fd, escape_markup(one.program), write_count(one.count), escape_markup(one.acquired_by),
        stack_html(report, one.stack, one.truncated));
  return text;
}

std::string untracked_html(const Report& report) {
  if (report.untracked.empty()) return {};
  std::string text = "<h2>Programs that were not tracked</h2>\n<table>\n";
  for (const report::UntrackedProgram& one : report.untracked)
    text += fmt::format("<tr><td class=\"number\">{}</td><td><code>{}</code></td><td>{}{}</td></tr>\n",
                        write_count(one.count), escape_markup(one.program), escape_markup(one.reason),
                        one.allowed ? " (allowed)" : "");
  return text + "</table>\n";
}

/// A browser is slow with more; the JSON has them all.
constexpr size_t kMostPlaces = 1000;

}  // namespace

std::string render_report_html(Reports reports, const RenderOptions&) {
  const Report& report = *reports[0];
  std::string text = std::string(report::kPageStart).append(kHead);
  text += fmt::format("<title>unfreed: {}</title>\n</head>\n<body>\n", escape_markup(describe_process(report.process)));
  text += process_html(report) + watch_html(report) + rules_html(report) + totals_html(report);
  text += "<h2>What is held, and which code acquired it</h2>\n<input id=\"filter\" placeholder=\"filter\" hidden>\n";
  std::vector<Place> places = list_places(report);
  RetentionPaths retention(report, PathShortener("", ""));
  size_t shown = 0;
  for (; shown < std::min(places.size(), kMostPlaces); ++shown) text += place_html(places[shown], retention, shown < 3);
  if (places.empty()) text += "<p>Nothing.</p>\n";
  if (uint64_t left_out = places.size() - shown + report.sites_omitted)
    text += fmt::format("<p>and {} more call sites, which hold less</p>\n", write_count(left_out));
  bool any = false;
  for (const report::Descriptor& one : report.descriptors) {
    if (!any) text += "<h2>Other open descriptors</h2>\n<table>\n";
    any = true;
    text += fmt::format("<tr><td class=\"number\">{}</td><td>{}</td><td><code>{}</code></td></tr>\n", one.fd,
                        escape_markup(one.origin), escape_markup(one.target));
  }
  if (any) text += "</table>\n";
  text += threads_html(report) + goroutines_html(report) + misuse_html(report) + exec_leaks_html(report) +
          untracked_html(report);
  if (!report.failures.empty()) text += "<h2>Calls that failed for lack of a resource</h2>\n";
  for (const report::Failure& failure : report.failures)
    text += fmt::format(
        "<details><summary><code>{}</code>: {}, {} times; {} held at the first failure</summary>\n{}</details>\n",
        escape_markup(failure.function), escape_markup(failure.error), write_count(failure.count),
        write_count(failure.live_then), stack_html(report, failure.stack, failure.truncated));
  text += kScript;
  return text + "</body>\n</html>\n";
}

}  // namespace unfreed::render
