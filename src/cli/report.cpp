// unfreed report: reports in every format.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/age_filter.h"
#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"
#include "render/renderers.h"
#include "render/samples.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

/// Git's measure.
bool is_binary(std::string_view text) { return text.substr(0, 8000).find('\0') != std::string_view::npos; }

std::string describe_formats() {
  std::string text;
  for (const render::Renderer& one : render::renderers())
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", one.name, one.what);
  return text;
}

}  // namespace

int report_command(const Arguments& arguments) {
  Parser parser(
      "report", "[OPTIONS] FILE...",
      "Shows reports, or converts them to other formats. A FILE is report JSON, or a ledger: the shared memory file of "
      "a "
      "killed or running process. Source lines and inlined frames are added where the binaries are available.");
  std::vector<std::string> files;
  std::string format = "text";
  std::string output = "-";
  OutputOptions output_options;
  parser.operands("FILE", files, "report JSON, series or ledger; - is standard input");
  std::vector<std::string> formats;
  for (const render::Renderer& one : render::renderers()) formats.emplace_back(one.name);
  std::string format_help = describe_formats() + " (default: text)";
  parser.value("-f,--format", "FORMAT", format, format_help.c_str(), formats);
  parser.value("-o,--output", "FILE", output, "write to FILE (default: standard output)");
  parser.flag("--force", output_options.replaces_anything, kForceHelp);
  bool show_suppressed = false;
  parser.flag("--show-suppressed", show_suppressed, "also list what is suppressed, and by which suppression");
  std::string measure;
  parser.value("--value", "NUMBER", measure,
               "for folded and pprof: which figure to show (first), such as fd, heap.bytes, heap.lost_bytes "
               "(default: folded: what is live of each kind; pprof: what matters most)");
  std::string source_root;
  parser.value(
      "--source-root", "FOLDER", source_root,
      "print source paths relative to FOLDER, for other tools (default: the CI's checkout, or the Git working tree)");
  AgeFilter older;
  older.add_option(parser);
  parser.footer("Exit status: 0, or 125 if a file cannot be read or written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!older.read()) return kFailure;
  const render::Renderer& renderer = *render::find_renderer(format);
  if (!renderer.takes_several && files.size() > 1) {
    complain(fmt::format("--format {} takes one FILE: it renders a single report", format));
    return kFailure;
  }
  render::RenderOptions options{output == "-" && render::wants_colour(1), show_suppressed, {}, {}};
  if (!measure.empty() && !render::parse_measure(measure, options.measure.emplace())) {
    complain(
        fmt::format("--value {}: expected a kind and, optionally, a field, such as fd, heap.bytes or "
                    "heap.lost_bytes",
                    measure));
    return kFailure;
  }
  if (!source_root.empty()) options.root.emplace(std::filesystem::absolute(source_root).string());
  symbolize::Symbolizer symbolizer;
  std::string error;
  std::vector<SourcedReport> sources;
  bool failed = !read_reports(files, symbolizer, sources);
  if (sources.empty()) return kFailure;
  for (SourcedReport& source : sources) older.apply(source.owned);
  std::vector<const report::Report*> reports;
  for (const SourcedReport& source : sources) reports.push_back(&source.report());
  std::string text = renderer.render(reports, options);
  if (output == "-" && isatty(STDOUT_FILENO) && is_binary(text)) {
    complain(fmt::format("--format {} is not text: use --output FILE", format));
    return kFailure;
  }
  if (!write_report_file(output, text, output_options, error)) {
    complain(fmt::format("{} cannot be written: {}", output == "-" ? "standard output" : output, error));
    failed = true;
  }
  return failed ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
