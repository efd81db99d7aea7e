#include "runtime/output.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/descriptor_name.h"
#include "base/syscall.h"
#include "runtime/own_settings.h"
#include "runtime/runtime.h"
#include "settings/settings.h"

namespace unfreed::runtime {

namespace {

/// Descriptors as they were at the start: stdout, and the one of UNFREED_OUTPUT.
struct Remembered {
  int descriptor = -1;
  uint64_t device = 0;
  uint64_t inode = 0;
};
constinit Remembered g_stdout, g_output;

bool look_at(int descriptor, Remembered& out) {
  struct stat status {};
  if (base::raw_syscall(SYS_fstat, descriptor, reinterpret_cast<long>(&status)) != 0) return false;
  out = {descriptor, status.st_dev, status.st_ino};
  return true;
}

bool is_as_remembered(int descriptor) {
  Remembered now;
  if (!look_at(descriptor, now)) return true;  // closed: that is said when it is written to
  if (descriptor == 2) return now.device == g_runtime.stderr_device && now.inode == g_runtime.stderr_inode;
  for (const Remembered& then : {g_stdout, g_output})
    if (then.descriptor == descriptor) return now.device == then.device && now.inode == then.inode;
  return false;
}

}  // namespace

void remember_output(std::string_view output) {
  look_at(1, g_stdout);
  int descriptor = base::descriptor_of(output);
  if (descriptor >= 0) look_at(descriptor, g_output);
}

int output_descriptor() { return g_output.descriptor; }

base::FileProblem open_report(const ledger::View& view, const char* path, uint32_t report_number, uint32_t limit,
                              bool only_at_once, OwnReportFile& out) {
  std::string_view pattern = path ? path : g_settings.output;
  size_t size = report::expand_output(pattern, g_runtime.working_directory, g_settings.program, g_runtime.pid,
                                      report_number, out.path);
  if (!size) {
    base::TextBuilder(out.path).add(pattern);
    bool is_relative = !pattern.starts_with('/') && !g_runtime.working_directory[0];
    return is_relative ? base::FileProblem{report::kWithoutFolder} : base::failed(-ENAMETOOLONG);
  }
  out.author = report::author_of(view, out.started);
  report::ReportFileOptions options;
  options.replaces_anything = g_settings.force;
  options.author = path ? nullptr : &out.author;
  options.has_pid = report::has_pid(pattern);
  options.limit = limit && report::has_number(pattern) ? 1 : limit;
  options.may_use_descriptor = is_as_remembered;
  options.only_at_once = only_at_once;
  return out.file.open(out.path, options);
}

}  // namespace unfreed::runtime
