// Rules as tests: JUnit's XML, which every CI shows. A process is a suite, a rule is a test: a broken one is a failure,
// one that could not be checked an error.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/findings.h"
#include "render/markup.h"
#include "render/text.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Report;
using report::RuleOutcome;

namespace {

struct Counts {
  size_t tests = 0;
  size_t failures = 0;
  size_t errors = 0;
  size_t skipped = 0;
  double seconds = 0;

  void add(const Counts& other) {
    tests += other.tests;
    failures += other.failures;
    errors += other.errors;
    skipped += other.skipped;
    seconds += other.seconds;
  }
};

std::string attributes_of(const Counts& counts) {
  return fmt::format(R"(tests="{}" failures="{}" errors="{}" skipped="{}" time="{:.3f}")", counts.tests,
                     counts.failures, counts.errors, counts.skipped, counts.seconds);
}

/// What breaks a rule: a line for each finding, and its stack.
std::string describe_broken(const std::vector<Finding>& findings, report::Text rule, const Finding*& first) {
  std::string text;
  for (const Finding& finding : findings) {
    if (std::find(finding.rules.begin(), finding.rules.end(), rule) == finding.rules.end()) continue;
    if (!first && finding.line) first = &finding;
    text += finding.message + "\n";
    for (size_t at = 0; at < finding.stack.size();) {
      size_t end = finding.stack.find('\n', at);
      text += "    " + finding.stack.substr(at, end - at) + "\n";
      at = end == std::string::npos ? end : end + 1;
    }
  }
  return text;
}

std::string test_of(const RuleOutcome& rule, const std::vector<Finding>& findings, const std::string& suite,
                    Counts& counts) {
  ++counts.tests;
  const Finding* first = nullptr;
  std::string broken = describe_broken(findings, rule.rule, first);
  std::string start = fmt::format(R"(    <testcase classname="{}" name="{}")", suite, escape_markup(rule.rule));
  if (first) start += fmt::format(R"( file="{}" line="{}")", escape_markup(first->file), first->line);
  std::string verdict = escape_markup(describe_verdict(rule));
  if (rule.broken) {
    ++counts.failures;
    return fmt::format("{}>\n      <failure type=\"leak\" message=\"{}\">{}</failure>\n    </testcase>\n", start,
                       verdict, escape_lines(broken));
  }
  if (rule.is_checked()) return start + "/>\n";
  ++counts.errors;
  return fmt::format("{}>\n      <error type=\"unchecked\" message=\"{}\"/>\n    </testcase>\n", start, verdict);
}

/// Programs that nothing is known of, where there are rules: the run does not pass.
std::string untracked_tests(const Report& report, const std::string& suite, Counts& counts) {
  std::string text;
  if (!report.of_run || report.rules.empty()) return text;
  for (const report::UntrackedProgram& one : report.untracked) {
    if (one.allowed) continue;
    ++counts.tests;
    ++counts.errors;
    text += fmt::format(
        "    <testcase classname=\"{}\" name=\"tracked: {}\">\n      <error type=\"untracked\" message=\"{}\"/>\n"
        "    </testcase>\n",
        suite, escape_markup(one.program), escape_markup(one.reason));
  }
  return text;
}

/// `is_error`: that no rule was for it, as none was for any other process.
std::string suite_of(const Report& report, const RenderOptions& options, const std::string& name, bool is_error,
                     Counts& all) {
  Counts counts;
  counts.seconds = static_cast<double>(report.process.duration_ns.value_or(0)) / 1e9;
  const Report* one[] = {&report};
  std::vector<Finding> findings = list_findings(one, options).list;
  std::string tests;
  if (!report.process.outside_rules)
    for (const RuleOutcome& rule : report.rules) tests += test_of(rule, findings, name, counts);
  tests += untracked_tests(report, name, counts);
  if (!counts.tests) {
    ++counts.tests;
    ++(is_error ? counts.errors : counts.skipped);
    const char* why = is_error                       ? "the rules are for none of the programs that ran"
                      : report.process.outside_rules ? "the rules are not for this program"
                                                     : "no rules were given";
    tests +=
        fmt::format("    <testcase classname=\"{}\" name=\"rules\">\n      <{} message=\"{}\"/>\n    </testcase>\n",
                    name, is_error ? "error" : "skipped", why);
  }
  all.add(counts);
  std::string time = report.process.started.empty()
                         ? std::string()
                         : fmt::format(" timestamp=\"{}\"", escape_markup(report.process.started.substr(0, 19)));
  TextOptions text;
  text.most_sites = 20;
  return fmt::format("  <testsuite name=\"{}\" {}{}>\n{}    <system-out>{}</system-out>\n  </testsuite>\n", name,
                     attributes_of(counts), time, tests, escape_lines(render_text(report, text)));
}

/// Processes of a run that kept every rule and held nothing: there are no reports of them.
std::string clean_suite(const Report& report, Counts& all) {
  if (!report.clean_processes) return {};
  Counts counts;
  counts.tests = 1;
  all.add(counts);
  return fmt::format(
      "  <testsuite name=\"other processes\" {}>\n    <testcase classname=\"other processes\" name=\"rules\"/>\n"
      "    <system-out>{} processes keep every rule and hold nothing</system-out>\n  </testsuite>\n",
      attributes_of(counts), report.clean_processes);
}

}  // namespace

std::string render_report_junit(Reports reports, const RenderOptions& options) {
  std::string suites;
  Counts counts;
  // Names are the same from run to run: a CI compares them.
  std::map<std::string, size_t> names;
  for (const Report* report : reports) {
    std::string name(program_of(report->process));
    if (size_t number = ++names[name]; number > 1) name += fmt::format(" {}", number);
    suites += suite_of(*report, options, escape_markup(name), report->of_run && !any_judged(reports), counts);
    suites += clean_suite(*report, counts);
  }
  return fmt::format("{} {}>\n{}</testsuites>\n", report::kJunitStart, attributes_of(counts), suites);
}

}  // namespace unfreed::render
