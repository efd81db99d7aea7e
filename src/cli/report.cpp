// unfreed report: reports in every format.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"
#include "render/completion.h"
#include "render/renderers.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

/// Empty: `error` is one line for the user.
std::optional<std::string> render_file(const std::string& path, const render::Renderer& renderer,
                                       const render::RenderOptions& options, symbolize::Symbolizer& symbolizer,
                                       std::string& error) {
  std::optional<SourcedReport> source = read_report(path, symbolizer, error);
  if (!source) return {};
  // What was made from a ledger just now has every name already.
  if (!source->ledger) render::complete(source->owned.report, symbolizer, source->owned.arena);
  return renderer.render(source->report(), options);
}

}  // namespace

int report_command(const Arguments& arguments) {
  Parser parser(
      "report", "[OPTIONS] FILE...",
      "Renders reports, from JSON or from a ledger that a process left behind. Source lines and inlined frames are "
      "added where the binaries are available.");
  std::vector<std::string> files;
  std::string format = "text";
  std::string output = "-";
  OutputOptions output_options;
  parser.operands("FILE", files, "report JSON or ledger; - is standard input");
  std::vector<std::string> formats;
  std::string what;
  for (const render::Renderer& one : render::renderers()) {
    formats.emplace_back(one.name);
    what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", one.name, one.what);
  }
  std::string format_help = what + " (default: text)";
  parser.value("-f,--format", "FORMAT", format, format_help.c_str(), formats);
  parser.value("-o,--output", "FILE", output, "write to FILE (default: standard output)");
  parser.flag("--force", output_options.replaces_anything, kForceHelp);
  bool show_suppressed = false;
  parser.flag("--show-suppressed", show_suppressed, "also list what suppressions cover, and which ones");
  parser.footer("Exit status: 0, or 125 if a file cannot be read or written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  const render::Renderer& renderer = *std::find_if(render::renderers().begin(), render::renderers().end(),
                                                   [&](const render::Renderer& one) { return one.name == format; });
  if (!renderer.takes_several && files.size() > 1) {
    complain(fmt::format("--format {} takes one FILE: it renders a single report", format));
    return kFailure;
  }
  render::RenderOptions options{output == "-" && render::wants_colour(1), show_suppressed};
  symbolize::Symbolizer symbolizer;
  std::string text;
  std::string error;
  bool failed = false;
  for (const std::string& file : files) {
    std::optional<std::string> rendered = render_file(file, renderer, options, symbolizer, error);
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
