// unfreed diff: two reports compared.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"
#include "render/completion.h"
#include "render/diff.h"

namespace unfreed::cli {

int diff_command(const Arguments& arguments) {
  Parser parser(
      "diff", "[OPTIONS] OLD NEW",
      "Compares two reports by call site (matched by signature, which survives rebuilds): what is new, what grew, "
      "what shrank, what is gone.");
  std::string old_file;
  std::string new_file;
  OutputOptions output_options;
  std::string output = "-";
  bool exit_code = false;
  parser.operand("OLD", old_file, "report JSON, series or ledger; - is standard input");
  parser.operand("NEW", new_file, "report JSON, series or ledger; - is standard input");
  parser.value("-o,--output", "FILE", output, "write to FILE (default: standard output)");
  parser.flag("--force", output_options.replaces_anything, kForceHelp);
  parser.flag("--exit-code", exit_code, "end with 1 when something is new or grew");
  parser.footer(
      "Exit status: 0 (with --exit-code: 1 when something is new or grew), 125 if a file cannot be read "
      "or written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  symbolize::Symbolizer symbolizer;
  std::string error;
  std::optional<SourcedReport> older = read_report(old_file, symbolizer, error);
  std::optional<SourcedReport> newer;
  if (older) newer = read_report(new_file, symbolizer, error);
  if (!newer) {
    complain(error);
    return kFailure;
  }
  // One that the library wrote by itself knows no lines yet: only then is a place the same in both.
  for (SourcedReport* one : {&*older, &*newer})
    if (!one->ledger) render::complete(one->owned.report, symbolizer, one->owned.arena);
  render::TextOptions options;
  options.colour = output == "-" && render::wants_colour(1);
  render::Difference difference = render::compare(older->report(), newer->report());
  std::string text = render::render_difference(older->report(), newer->report(), difference, options);
  if (!write_report_file(output, text, output_options, error)) {
    complain(fmt::format("{} cannot be written: {}", output == "-" ? "standard output" : output, error));
    return kFailure;
  }
  return exit_code && difference.is_worse() ? 1 : kSuccess;
}

}  // namespace unfreed::cli
