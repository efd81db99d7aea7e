// unfreed diff: two reports compared.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/presentation.h"
#include "cli/report_source.h"
#include "cli/selection_options.h"
#include "cli/symbol_options.h"
#include "render/completion.h"
#include "render/diff.h"
#include "render/kernel_view.h"
#include "render/quantities.h"
#include "render/renderers.h"

namespace unfreed::cli {

int diff_command(const Arguments& arguments) {
  Parser parser(
      "diff", "[OPTIONS] OLD NEW",
      "Compares two reports by call site (matched by signature, which survives rebuilds): what is new, what grew, "
      "what shrank, what is gone.");
  std::string old_file;
  std::string new_file;
  bool exit_code = false;
  parser.operand("OLD", old_file, "report JSON, series or ledger; - is standard input");
  parser.operand("NEW", new_file, "report JSON, series or ledger; - is standard input");
  std::string format = "text";
  parser.value("-f,--format", "FORMAT", format,
               "text, or html: one page for a browser, which also shows each report (default: text)", {"text", "html"});
  Presentation presentation;
  presentation.add_options(parser);
  parser.flag("--exit-code", exit_code, "end with 1 when something is new or grew");
  SelectionOptions selection;
  selection.add_options_for_changes(parser);
  selection.add_grouping(parser,
                         "put together what has the same site, line, function, file, module, thread, target or test, "
                         "and compare the sums (text only)");
  SymbolOptions symbols;
  symbols.add_options(parser);
  parser.footer(
      "Exit status: 0 (with --exit-code: 1 when something is new or grew), 125 if an option or a file cannot "
      "be read, or a file cannot be written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!selection.read()) return kFailure;
  if (selection.is_grouped() && format != "text") {
    complain(fmt::format("--by is for --format text, not {}", format));
    return kFailure;
  }
  symbolize::Symbolizer symbolizer(symbols.symbolizer());
  std::string error;
  std::optional<SourcedReport> older = read_report(old_file, symbolizer, error);
  std::optional<SourcedReport> newer;
  if (older) newer = read_report(new_file, symbolizer, error);
  if (!newer) {
    complain(error);
    return kFailure;
  }
  if (render::is_kernel_view(older->report()) != render::is_kernel_view(newer->report())) {
    complain(
        fmt::format("{} and {} cannot be compared: in one of them the process was not tracked, so it has no call "
                    "sites",
                    old_file, new_file));
    return kFailure;
  }
  bool is_whole = true;
  for (const auto& [file, one] : {std::pair(&old_file, &older->report()), std::pair(&new_file, &newer->report())}) {
    if (!one->sites_omitted) continue;
    is_whole = false;
    complain(fmt::format("{}{} leaves out {} (UNFREED_TOP), which may seem new or gone",
                         exit_code ? "" : "note: ", *file, render::write_number_of(one->sites_omitted, "stack")));
  }
  if (exit_code && !is_whole) return kFailure;
  // A report that the library wrote by itself has no lines yet. With lines, a call site is the same in both.
  for (SourcedReport* one : {&*older, &*newer})
    if (!one->ledger) render::complete(one->owned.report, symbolizer, one->owned.arena);
  render::Difference difference = render::compare(older->report(), newer->report());
  bool is_worse = difference.is_worse();
  // The selection does not change the exit status.
  render::DifferenceOptions shown;
  shown.least = selection.selection().min;
  if (selection.selection().top) shown.most_changes = selection.selection().top;
  std::string hidden;
  for (SourcedReport* one : {&*older, &*newer}) hidden = selection.filter(one->owned);
  render::ComparisonOptions comparison;
  comparison.by = selection.selection().by;
  comparison.by_bytes = selection.selection().order && selection.selection().order->name == "bytes";
  shown.has_table = selection.is_grouped();
  difference = render::compare(older->report(), newer->report(), comparison);
  render::TextOptions options;
  options.colour = format == "text" && presentation.has_colour();
  options.columns = presentation.columns();
  std::string text = render::render_difference(older->report(), newer->report(), difference, options, shown);
  if (format == "html") {
    render::RenderOptions page;
    for (SourcedReport* one : {&*older, &*newer}) page.series.push_back(one->series ? &*one->series : nullptr);
    text = render::render_difference_html(older->report(), newer->report(), page, text);
    if (!hidden.empty()) complain(hidden);
  } else if (!hidden.empty()) {
    text += fmt::format("\n  note: of the newer report, {}\n", hidden);
  }
  if (!presentation.show(text)) return kFailure;
  return exit_code && is_worse ? 1 : kSuccess;
}

}  // namespace unfreed::cli
