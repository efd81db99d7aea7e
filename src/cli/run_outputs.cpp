#include "cli/run_outputs.h"

#include <fmt/format.h>

#include <new>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/text_file.h"

namespace unfreed::cli {

namespace {

std::string list_formats() {
  std::string names;
  for (const render::Renderer& one : render::renderers())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", one.name);
  return names;
}

bool write(const RunOutput& output, render::Reports reports) {
  OutputOptions options;
  options.appends = output.appends;
  std::string error;
  if (write_report_file(output.path, output.renderer->render(reports, {}), options, error)) return true;
  complain(fmt::format("{} ({}) cannot be written: {}", output.path, output.renderer->name, error));
  return false;
}

}  // namespace

bool parse_run_output(const std::string& text, RunOutput& output, std::string& error) {
  size_t sign = text.find('=');
  size_t name_end = sign != text.npos && sign > 0 && text[sign - 1] == '+' ? sign - 1 : sign;
  const render::Renderer* renderer =
      sign == text.npos ? nullptr : render::find_renderer(std::string_view(text).substr(0, name_end));
  if (!renderer || sign + 1 == text.size()) {
    error =
        fmt::format("--write {}: expected FORMAT=FILE, or FORMAT+=FILE to append; formats: {}", text, list_formats());
    return false;
  }
  if (name_end != sign && renderer->holds == render::Holds::whole) {
    error = fmt::format("--write {}: a file holds one document of {}, so nothing can be appended: write {}=FILE", text,
                        renderer->name, renderer->name);
    return false;
  }
  output = {renderer, text.substr(sign + 1), name_end != sign};
  return true;
}

bool write_run_outputs(const std::vector<RunOutput>& outputs, const std::vector<std::string>& paths,
                       symbolize::Symbolizer& symbolizer) {
  if (outputs.empty()) return true;
  // Under a memory limit (ulimit -v), losing one output is better than losing the exit status.
  try {
    std::vector<SourcedReport> sources;
    bool is_written = read_reports(paths, symbolizer, sources);
    std::vector<const report::Report*> reports;
    reports.reserve(sources.size());
    for (const SourcedReport& source : sources) reports.push_back(&source.report());
    if (reports.empty()) return false;
    for (const RunOutput& output : outputs) is_written &= write(output, reports);
    return is_written;
  } catch (const std::bad_alloc&) {
    complain("--write: there is not enough memory for all reports at once");
    return false;
  }
}

}  // namespace unfreed::cli
