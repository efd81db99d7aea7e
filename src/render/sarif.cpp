// Findings as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), for GitHub's code scanning, Azure DevOps,
// editors and others. One run, whatever the number of processes: GitHub accepts no more.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "render/findings.h"
#include "render/places.h"
#include "render/text.h"
#include "report/report_head.h"

namespace unfreed::render {

using Json = nlohmann::ordered_json;

namespace {

const char* word_of(Finding::Level level) {
  switch (level) {
    case Finding::Level::error:
      return "error";
    case Finding::Level::warning:
      return "warning";
    default:
      return "note";
  }
}

/// Text of a message: braces are placeholders there, and "[text](address)" a link (3.11.5, 3.11.6).
Json message(std::string_view plain) {
  std::string text;
  for (char character : plain) {
    if (character == '(' && text.ends_with(']')) text += ' ';
    text += character;
    if (character == '{' || character == '}') text += character;
  }
  return {{"text", text}};
}

/// A path as the URI reference that SARIF wants.
std::string as_uri(std::string_view path) {
  std::string uri;
  for (char character : path) {
    auto byte = static_cast<unsigned char>(character);
    bool is_plain =
        std::isalnum(byte) || std::string_view("/-._~+@,=$!&'()*;").find(character) != std::string_view::npos;
    uri += is_plain ? std::string(1, character) : fmt::format("%{:02X}", byte);
  }
  return uri;
}

Json artifact(const std::string& file) {
  if (file.starts_with('/')) return {{"uri", "file://" + as_uri(file)}};
  return {{"uri", as_uri(file)}, {"uriBaseId", "%SRCROOT%"}};
}

Json physical(const std::string& file, uint32_t line) {
  Json place = {{"artifactLocation", artifact(file)}};
  if (line) place["region"] = {{"startLine", line}};
  return place;
}

Json frames(const Finding& finding, const SourceRoot& root) {
  Json list = Json::array();
  for (const StackFrame& frame : list_frames(*finding.report, finding.stack_id)) {
    Json location = Json::object();
    if (!frame.file.empty()) location["physicalLocation"] = physical(root.name(printable(frame.file)), frame.line);
    if (!frame.function.empty())
      location["logicalLocations"] =
          Json::array({{{"fullyQualifiedName", printable(frame.function)}, {"kind", "function"}}});
    Json one = {{"location", location}};
    if (!frame.module.empty()) one["module"] = printable(frame.module);
    list.push_back(one);
  }
  return list;
}

Json result_of(const Finding& finding, const SourceRoot& root) {
  Json result = {
      {"ruleId", finding.id}, {"level", word_of(finding.level)}, {"message", message(finding.describe_with_rules())}};
  // GitHub shows only results that have a location; where no source is known, the program is the location.
  std::string program = finding.report->process.exe.empty() ? "unknown" : printable(finding.report->process.exe);
  Json location = finding.line ? physical(finding.file, finding.line) : physical(root.name(program), 0);
  result["locations"] = Json::array({{{"physicalLocation", location}}});
  result["partialFingerprints"] = {{"unfreedSignature/v1", finding.fingerprint}};
  if (Json list = frames(finding, root); !list.empty())
    result["stacks"] = Json::array({{{"message", message("innermost call first")}, {"frames", list}}});
  result["properties"] = {{"processes", finding.processes}, {"rules", finding.rules}};
  return result;
}

Json invocation_of(const report::Report& report) {
  Json one = {{"executionSuccessful", report.complete}};
  if (!report.process.argv.empty()) {
    Json words = Json::array();
    for (size_t at = 1; at < report.process.argv.size(); ++at) words.push_back(printable(report.process.argv[at]));
    one["arguments"] = words;
  }
  if (report.process.exit_status) one["exitCode"] = *report.process.exit_status;
  if (report.process.signal) one["exitSignalNumber"] = *report.process.signal;
  if (!report.process.started.empty()) one["startTimeUtc"] = report.process.started;
  one["processId"] = report.process.pid;
  Json notes = Json::array();
  for (report::Text note : report.notes)
    notes.push_back({{"level", report.complete ? "note" : "warning"}, {"message", message(printable(note))}});
  if (!notes.empty()) one["toolExecutionNotifications"] = notes;
  return one;
}

}  // namespace

std::string render_report_sarif(Reports reports, const RenderOptions& options) {
  SourceRoot root = root_of(options);
  Json results = Json::array();
  Json rules = Json::array();
  std::set<std::string> ids;
  Findings findings = list_findings(reports, options);
  for (const Finding& finding : findings.list) {
    results.push_back(result_of(finding, root));
    if (ids.insert(finding.id).second)
      rules.push_back({{"id", finding.id}, {"shortDescription", message(describe_id(finding.id))}});
  }
  Json invocations = Json::array();
  for (const report::Report* report : reports) invocations.push_back(invocation_of(*report));
  Json driver = {{"name", "unfreed"}, {"version", UNFREED_VERSION}, {"rules", rules}};
  if (findings.left_out) {
    std::string left_out = fmt::format("{} more call sites are findings, too", findings.left_out);
    invocations[0]["toolExecutionNotifications"].push_back({{"level", "note"}, {"message", message(left_out)}});
  }
  Json run = {
      {"tool", {{"driver", driver}}},
      {"invocations", invocations},
      {"originalUriBaseIds",
       {{"%SRCROOT%", {{"uri", "file://" + as_uri(root.folder()) + (root.folder().ends_with('/') ? "" : "/")}}}}},
      {"results", results}};
  // The head is as report_head.h knows it.
  std::string text = Json{{"runs", Json::array({run})}}.dump(1, ' ', false, Json::error_handler_t::replace);
  return std::string(report::kSarifStart) + text.substr(1) + "\n";
}

}  // namespace unfreed::render
