#include "cli/show_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/text_file.h"
#include "render/json.h"
#include "render/text.h"

namespace unfreed::cli {

bool show_report(OwnedReport& made, const std::string& output, const report::Settings& settings, std::string& error) {
  OutputOptions output_options;
  output_options.replaces_anything = settings.force;
  std::string json = render::write_json(made.report, report::StackForm::file);
  if (output.empty() || !write_report_file(output, json, output_options, error)) {
    complain(fmt::format("report {} cannot be written: {}", output.empty() ? settings.output : output, error));
    return false;
  }
  if (settings.quiet) return true;
  render::TextOptions options;
  options.colour = render::wants_colour(STDERR_FILENO);
  std::string text = render::render_text(made.report, options) + "\nreport: " + options.paths.shorten(output) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
  return true;
}

int status_after(const report::Report& report, const report::Settings& settings) {
  if (report::is_broken(report)) return settings.exit_code;
  return settings.rules.count > 0 && report::is_unchecked(report) ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
