// unfreed report: reports in every format.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"
#include "render/completion.h"
#include "render/html.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

/// Empty: `error` is one line for the user.
std::optional<std::string> render_file(const std::string& path, const std::string& format, bool colour,
                                       symbolize::Symbolizer& symbolizer, std::string& error) {
  std::optional<SourcedReport> source = read_report(path, symbolizer, error);
  if (!source) return {};
  // What was made from a ledger just now has every name already.
  if (!source->ledger) render::complete(source->owned.report, symbolizer, source->owned.arena);
  if (format == "json") return to_json(source->report(), report::StackForm::listed);
  if (format == "html") return render::render_html(source->report());
  render::TextOptions options;
  options.colour = colour;
  options.most_sites = 20;
  options.most_quiet_sites = 10;
  options.most_frames = 12;
  return render::render_text(source->report(), options);
}

}  // namespace

int report_command(const Arguments& arguments) {
  Parser parser(
      "report", "[OPTIONS] FILE...",
      "Renders reports: JSON, or a ledger that a process left behind. File, line and inlined frames are filled in "
      "where the binaries are here.");
  std::vector<std::string> files;
  std::string format = "text";
  std::string output = "-";
  OutputOptions output_options;
  parser.operands("FILE", files, "report JSON or ledger; - is standard input");
  parser.value("-f,--format", "FORMAT", format, "text, json or html (default: text)", {"text", "json", "html"});
  parser.value("-o,--output", "FILE", output, "write to FILE (default: standard output)");
  parser.flag("--force", output_options.replaces_anything, kForceHelp);
  parser.footer("Exit status: 0, or 125 if a file cannot be read or written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (format == "html" && files.size() > 1) {
    complain("--format html takes one FILE: a page is about one report");
    return kFailure;
  }
  bool colour = output == "-" && render::wants_colour(1);
  symbolize::Symbolizer symbolizer;
  std::string text;
  std::string error;
  bool failed = false;
  for (const std::string& file : files) {
    std::optional<std::string> rendered = render_file(file, format, colour, symbolizer, error);
    if (!rendered) {
      complain(error);
      failed = true;
      continue;
    }
    if (!text.empty() && format == "text") text += '\n';
    text += *rendered;
  }
  if (!text.empty() && !write_report_file(output, text, output_options, error)) {
    complain(fmt::format("{} cannot be written: {}", output == "-" ? "standard output" : output, error));
    failed = true;
  }
  return failed ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
