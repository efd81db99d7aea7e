#include "cli/ledger_report.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
#include <new>

#include "base/syscall.h"
#include "render/paths.h"
#include "settings/settings.h"

namespace unfreed::cli {

namespace {

report::ReportInput input_for(const ledger::View& view, const ReportRequest& request) {
  report::ReportInput input;
  input.view = &view;
  input.trigger = request.trigger;
  input.settings = request.settings;
  input.wait_status = request.wait_status;
  input.now_monotonic_ns = base::monotonic_ns();
  input.all_sites = request.all_sites;
  input.most_sites = request.most_sites;
  input.speaks_for_run = request.speaks_for_run;
  input.untracked_of_run = request.untracked_of_run;
  input.clean_processes = request.clean_processes;
  input.still_running = request.still_running;
  return input;
}

OwnedReport make(const report::ReportInput& input) {
  OwnedReport made;
  report::evaluate(input, made.arena, made.report);
  if (made.arena.short_of_memory()) throw std::bad_alloc();
  return made;
}

}  // namespace

OwnedReport make_report(const ledger::View& view, const ReportRequest& request, symbolize::Symbolizer& symbolizer) {
  report::ReportInput input = input_for(view, request);
  input.suppressions = request.suppressions;
  symbolize::LedgerResolver resolver(symbolizer, view);
  input.resolver = resolver.resolver();
  std::vector<std::string_view> notes(request.notes.begin(), request.notes.end());
  input.notes = notes;
  OwnedReport made = make(input);
  // Files are opened only when a stack leads into them, so their notes are known only now.
  for (const std::string& note : resolver.notes()) made.report.notes.add(made.arena, made.arena.copy(note));
  return made;
}

OwnedReport make_totals(const ledger::View& view, const ReportRequest& request) {
  report::ReportInput input = input_for(view, request);
  input.totals_only = true;
  return make(input);
}

OwnedReport make_plain_report(const ledger::View& view, const ReportRequest& request) {
  return make(input_for(view, request));
}

std::string output_path(const ledger::View& view, std::string_view output_template, uint32_t report_number,
                        std::string& error) {
  return output_path(output_template, program_name(view), view.header().pid, report_number, error);
}

std::string output_path(std::string_view output_template, std::string_view program, int pid, uint32_t report_number,
                        std::string& error) {
  std::array<char, PATH_MAX> directory;
  std::array<char, PATH_MAX> path;
  std::string_view here = base::current_directory(directory);
  size_t length = report::expand_output(output_template, here, program, pid, report_number, path);
  if (length == 0)
    error = here.empty() && !output_template.starts_with('/') ? report::kWithoutFolder : "File name too long";
  return {path.data(), length};
}

bool write_process_report(const report::Author& author, std::string_view output_template, std::string_view json,
                          OutputOptions options, std::string& path, std::string& error) {
  options.author = &author;
  options.has_pid = report::has_pid(output_template);
  return write_report_file(path, json, options, error, &path);
}

std::string program_name(const ledger::View& view) {
  if (std::string_view program = view.text(view.header().program); !program.empty()) return std::string(program);
  std::string_view exe = view.text(view.header().exe);
  if (exe.empty()) exe = view.text(view.header().argv);
  return std::string(render::base_name(exe));
}

}  // namespace unfreed::cli
