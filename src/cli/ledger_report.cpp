#include "cli/ledger_report.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
#include <new>

#include "base/syscall.h"
#include "render/paths.h"
#include "report/settings.h"

namespace unfreed::cli {

namespace {

constexpr uint32_t kSitesOfSummary = 300;

/// A report's working memory: zeroed, and backed only as far as it is used.
class ScratchMemory {
 public:
  explicit ScratchMemory(size_t bytes) : bytes_(bytes), start_(base::map_memory(bytes)) {
    if (!start_) throw std::bad_alloc();
  }
  ~ScratchMemory() { base::unmap_memory(start_, bytes_); }
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  std::span<std::byte> span() const { return {static_cast<std::byte*>(start_), bytes_}; }

 private:
  size_t bytes_;
  void* start_;
};

report::ReportInput input_for(const ledger::View& view, const ReportRequest& request, const ScratchMemory& scratch) {
  report::ReportInput input;
  input.view = &view;
  input.trigger = request.trigger;
  input.rules = request.rules;
  input.wait_status = request.wait_status;
  input.now_monotonic_ns = base::monotonic_ns();
  input.all_sites = request.all_sites;
  input.scratch = scratch.span();
  return input;
}

}  // namespace

LedgerReport make_report(const ledger::View& view, const ReportRequest& request, symbolize::Symbolizer& symbolizer) {
  ScratchMemory scratch(report::scratch_bytes(view));
  report::ReportInput input = input_for(view, request, scratch);
  input.suppressions = request.suppressions;
  symbolize::LedgerResolver resolver(symbolizer, view);
  input.resolver = resolver.resolver();
  std::vector<std::string_view> notes(request.notes.begin(), request.notes.end());
  input.notes = notes;
  LedgerReport report;
  auto write = [&input](std::string& json) {
    json.clear();
    report::Sink sink{&json, [](void* text, std::string_view piece) {
                        static_cast<std::string*>(text)->append(piece);
                        return true;
                      }};
    return report::write_report(input, sink);
  };
  report.result = write(report.json);
  // Files are looked for only where a stack leads into them; what is to be said of them stands before the stacks.
  std::vector<std::string> of_modules = resolver.notes();
  if (!of_modules.empty()) {
    notes.insert(notes.end(), of_modules.begin(), of_modules.end());
    input.notes = notes;
    report.result = write(report.json);
  }
  if (view.site_count() > kSitesOfSummary) {
    input.most_sites = kSitesOfSummary;
    write(report.brief);
  }
  return report;
}

report::ReportResult judge(const ledger::View& view, const ReportRequest& request) {
  ScratchMemory scratch(report::scratch_bytes(view));
  report::ReportInput input = input_for(view, request, scratch);
  // Refusing the first piece ends the writing at once; what the report comes to is known before.
  report::Sink sink{nullptr, [](void*, std::string_view) { return false; }};
  return report::write_report(input, sink);
}

std::string output_path(const ledger::View& view, std::string_view output_template, uint32_t report_number,
                        bool insert_pid) {
  std::array<char, PATH_MAX> path;
  std::array<char, PATH_MAX> directory;
  size_t length = report::expand_output(output_template, base::current_directory(directory), program_name(view), view.header().pid,
                                        report_number, insert_pid, path);
  return {path.data(), length};
}

std::string program_name(const ledger::View& view) {
  if (std::string_view program = view.text(view.header().program); !program.empty()) return std::string(program);
  std::string_view exe = view.text(view.header().exe);
  if (exe.empty()) exe = view.text_at(view.header().argv, 0);
  return std::string(render::base_name(exe));
}

}  // namespace unfreed::cli
