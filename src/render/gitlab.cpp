// Findings as GitLab's code quality report, which its merge requests show.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "render/findings.h"
#include "render/markup.h"
#include "render/text.h"
#include "report/report_head.h"

namespace unfreed::render {

using Json = nlohmann::ordered_json;

namespace {

const char* severity_of(Finding::Level level) {
  switch (level) {
    case Finding::Level::error:
      return "major";
    case Finding::Level::warning:
      return "minor";
    default:
      return "info";
  }
}

}  // namespace

std::string render_report_gitlab(Reports reports, const RenderOptions& options) {
  SourceRoot root = root_of(options);
  std::string text;
  for (const Finding& finding : list_findings(reports, options).list) {
    std::string file = finding.file;
    if (!finding.line) file = root.name(printable(finding.report->process.exe));
    Json one = {
        {"check_name", "unfreed." + finding.id},
        {"description", finding.describe_with_rules()},
        {"content", {{"body", finding.stack.empty() ? describe_id(finding.id) : as_block(finding.stack)}}},
        {"categories", Json::array({"Bug Risk"})},
        {"severity", severity_of(finding.level)},
        {"fingerprint", finding.id + "." + finding.fingerprint},
        {"location", {{"path", file.empty() ? "unknown" : file}, {"lines", {{"begin", std::max(finding.line, 1u)}}}}}};
    text += text.empty() ? "\n" : ",\n";
    text += one.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return "[" + text + "\n]\n";
}

}  // namespace unfreed::render
