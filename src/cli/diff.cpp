// unfreed diff: two reports compared.
#include "render/diff.h"
#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"

namespace unfreed::cli {

int diff_command(const Arguments& arguments) {
  Parser parser(
      "diff", "[OPTIONS] OLD NEW",
      "Compares two reports, call site by call site (by signature, which survives rebuilds): what is new, what "
      "grew, what shrank, what has gone.");
  std::string old_file;
  std::string new_file;
  bool exit_code = false;
  parser.operand("OLD", old_file, "report JSON or ledger; - is standard input");
  parser.operand("NEW", new_file, "report JSON or ledger; - is standard input");
  parser.flag("--exit-code", exit_code, "end with 1 when something is new or grew");
  parser.footer("Exit status: 0 (with --exit-code: 1 when something is new or grew), 125 if a file cannot be read.");
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
  render::TextOptions options;
  options.colour = render::wants_colour(1);
  render::Difference difference = render::compare(older->report(), newer->report());
  if (!write_text_file("-", render::render_difference(older->report(), newer->report(), difference, options), error)) {
    complain("standard output cannot be written: " + error);
    return kFailure;
  }
  return exit_code && difference.is_worse() ? 1 : kSuccess;
}

}  // namespace unfreed::cli
