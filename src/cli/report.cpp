// unfreed report: reports in every format.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/presentation.h"
#include "cli/progress.h"
#include "cli/report_source.h"
#include "cli/selection_options.h"
#include "cli/symbol_options.h"
#include "render/quantities.h"
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

/// Other forms of a report than the list of call sites.
class ViewOptions {
 public:
  void add_options(Parser& parser) {
    parser.optional_value("--tree", "FORM", tree_, "callers",
                          "show what is held as a tree of calls, from where the program begins to what acquires "
                          "(callers), or the other way round (inverted)",
                          {"callers", "inverted"});
    parser.value("--list", "FUNCTION", list_,
                 "show the source of functions that match the extended regular expression FUNCTION, with what is held "
                 "through each line");
    parser.value("--why", "REGEX", why_,
                 "show who keeps heap blocks alive, step by step: of the call sites that --match REGEX would select");
    parser.optional_value("--source", "LINES", source_, "5",
                          "show the source of each call site, LINES lines of it (default: 5)");
  }

  /// False: a line has been printed.
  bool read(const std::string& format, bool is_grouped, render::RenderOptions& options) {
    for (const auto& [name, value] :
         {std::pair("--tree", &tree_), {"--list", &list_}, {"--why", &why_}, {"--source", &source_}})
      if (!value->empty() && format != "text") {
        complain(fmt::format("{} is for --format text, not {}", name, format));
        return false;
      }
    std::vector<const char*> forms;
    for (const auto& [name, value] : {std::pair("--tree", &tree_), {"--list", &list_}, {"--why", &why_}})
      if (!value->empty()) forms.push_back(name);
    if (!why_.empty() && is_grouped) forms.push_back("--by");
    if (forms.size() > 1) {
      complain(fmt::format("{} and {} show different things: give one of them", forms[0], forms[1]));
      return false;
    }
    options.has_whole_paths = !why_.empty();
    if (is_grouped) options.view = render::TextView::table;
    if (!tree_.empty()) options.view = tree_ == "inverted" ? render::TextView::inverted_tree : render::TextView::tree;
    std::string error;
    if (!list_.empty() && !(options.listed = render::Pattern::compile(list_, error))) {
      complain(fmt::format("--list: '{}' is not an extended regular expression: {}", list_, error));
      return false;
    }
    constexpr uint64_t kMostLines = 1001;
    uint64_t lines = 0;
    if (!source_.empty() && (!read_positive(source_, lines) || lines > kMostLines)) {
      complain(fmt::format("--source: cannot read '{}': accepted is a whole number from 1 to {}", source_, kMostLines));
      return false;
    }
    options.source_lines = static_cast<uint32_t>(lines / 2 + (lines > 0));
    if (lines == 1) options.source_lines = 1;
    return true;
  }

  const std::string& why() const { return why_; }

 private:
  std::string tree_;
  std::string list_;
  std::string why_;
  std::string source_;
};

}  // namespace

int report_command(const Arguments& arguments) {
  Parser parser(
      "report", "[OPTIONS] FILE...",
      "Shows reports, or converts them to other formats. A FILE is report JSON, or a ledger: the shared memory file of "
      "a "
      "killed or running process. Source lines and inlined frames are added where the binaries are available.");
  std::vector<std::string> files;
  std::string format = "text";
  parser.operands("FILE", files, "report JSON, series or ledger; - is standard input");
  std::vector<std::string> formats;
  for (const render::Renderer& one : render::renderers()) formats.emplace_back(one.name);
  std::string format_help = describe_formats() + " (default: text)";
  parser.value("-f,--format", "FORMAT", format, format_help.c_str(), formats);
  bool write_suppressions = false;
  parser.flag("--write-suppressions", write_suppressions, "the same as --format suppressions");
  Presentation presentation;
  presentation.add_options(parser);
  bool show_suppressed = false;
  parser.flag("--show-suppressed", show_suppressed, "also list what is suppressed, and by which suppression");
  std::string measure;
  parser.value("--value", "NUMBER", measure,
               "for folded, pprof and --tree: which figure to show (first), such as fd, heap.bytes, heap.lost_bytes "
               "(default: folded: what is live of each kind; pprof: what matters most)");
  std::string source_root;
  parser.value(
      "--source-root", "DIRECTORY", source_root,
      "where the sources are; source paths are printed relative to DIRECTORY for other tools (default: the CI's "
      "checkout, or the Git working tree)");
  SelectionOptions selection;
  selection.add_options(parser);
  selection.add_grouping(parser,
                         "put together what has the same site, line, function, file, module, thread, target or test, "
                         "and show a table of it");
  ViewOptions view;
  view.add_options(parser);
  SymbolOptions symbols;
  symbols.add_options(parser);
  parser.footer("Exit status: 0, or 125 if an option or a file cannot be read, or a file cannot be written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (write_suppressions && format != "text" && format != "suppressions") {
    complain(fmt::format("--write-suppressions and --format {} are different formats: give one of them", format));
    return kFailure;
  }
  if (write_suppressions) format = "suppressions";
  render::RenderOptions options;
  if (!selection.read() || !view.read(format, selection.is_grouped(), options)) return kFailure;
  if (!view.why().empty() && !selection.select_heap(view.why())) return kFailure;
  const render::Renderer& renderer = *render::find_renderer(format);
  options.colour = presentation.has_colour();
  options.columns = presentation.columns();
  options.most_sites = selection.is_grouped() || !view.why().empty() ? SIZE_MAX : selection.selection().top;
  options.show_suppressed = show_suppressed;
  if (!measure.empty() && !render::parse_measure(measure, options.measure.emplace())) {
    complain(
        fmt::format("--value {}: expected a kind and, optionally, a field, such as fd, heap.bytes or "
                    "heap.lost_bytes",
                    measure));
    return kFailure;
  }
  if (!source_root.empty()) options.root.emplace(std::filesystem::absolute(source_root).string());
  symbolize::Symbolizer symbolizer(symbols.symbolizer());
  std::vector<SourcedReport> sources;
  bool failed = !read_reports(files, symbolizer, sources);
  if (sources.empty()) return kFailure;
  for (SourcedReport& source : sources) {
    std::string hidden = selection.apply(source.owned);
    uint64_t omitted = source.report().sites_omitted;
    // Formats for other tools have no place where people would see it.
    if (!hidden.empty() && format != "text") complain(hidden);
    bool says_so = format == "html" || format == "junit" || (format == "text" && !selection.is_grouped());
    if (omitted && !says_so)
      complain(fmt::format("the report leaves out {} (UNFREED_TOP)", render::write_number_of(omitted, "stack")));
  }
  std::vector<const report::Report*> reports;
  for (const SourcedReport& source : sources) {
    reports.push_back(&source.report());
    options.series.push_back(source.series ? &*source.series : nullptr);
  }
  std::string text;
  {
    Progress progress("writing " + format);
    text = renderer.render(reports, options);
  }
  if (presentation.is_terminal() && is_binary(text)) {
    complain(fmt::format("--format {} is not text: use --output FILE", format));
    return kFailure;
  }
  if (!presentation.show(text)) failed = true;
  return failed ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
