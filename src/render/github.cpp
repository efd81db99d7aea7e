// Findings as GitHub's workflow commands: annotations beside the code of a change.
//
//     ::error file=src/log.c,line=42,title=fd>0::25 descriptors from fopen64: …
#include <fmt/format.h>

#include "render/findings.h"
#include "render/quantities.h"
#include "render/text.h"

namespace unfreed::render {

namespace {

/// GitHub shows so many of a level and step.
constexpr size_t kMostOfLevel = 10;

std::string escape_data(std::string_view text) {
  std::string out;
  for (char character : text) {
    if (character == '%' || character == '\r' || character == '\n')
      out += fmt::format("%{:02X}", static_cast<unsigned char>(character));
    else
      out += character;
  }
  return out;
}

/// Of a parameter.
std::string escape_property(std::string_view text) {
  std::string out;
  for (char character : escape_data(text)) {
    if (character == ':' || character == ',')
      out += fmt::format("%{:02X}", static_cast<unsigned char>(character));
    else
      out += character;
  }
  return out;
}

const char* word_of(Finding::Level level) {
  switch (level) {
    case Finding::Level::error:
      return "error";
    case Finding::Level::warning:
      return "warning";
    default:
      return "notice";
  }
}

std::string annotation_of(const Finding& finding) {
  std::string parameters;
  // GitHub can show an annotation on a file of the repository only.
  if (finding.line && !finding.file.starts_with('/'))
    parameters = fmt::format("file={},line={},", escape_property(finding.file), finding.line);
  std::string title = finding.rules.empty() ? finding.id : fmt::format("{}", fmt::join(finding.rules, ", "));
  std::string message = finding.describe();
  if (!finding.stack.empty()) message += "\n" + finding.stack.substr(0, finding.stack.size() - 1);
  return fmt::format("::{} {}title={}::{}\n", word_of(finding.level), parameters, escape_property("unfreed: " + title),
                     escape_data(message));
}

}  // namespace

std::string render_report_github(Reports reports, const RenderOptions& options) {
  std::string text;
  size_t shown[3] = {};
  auto [findings, left_out] = list_findings(reports, options);
  for (const Finding& finding : findings) {
    if (++shown[static_cast<size_t>(finding.level)] <= kMostOfLevel)
      text += annotation_of(finding);
    else
      ++left_out;
  }
  if (left_out) text += fmt::format("unfreed: {}, in the reports\n", write_number_of(left_out, "more finding"));
  return text;
}

}  // namespace unfreed::render
