// unfreed doctor: says beforehand what a run would see.
#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/diagnosis.h"
#include "cli/locate.h"
#include "render/paths.h"

namespace unfreed::cli {

namespace {
constexpr int kTrackable = 0;
constexpr int kNotTrackable = 1;

void add(std::string& text, const char* heading, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) text += fmt::format("  {:<10} {}\n", heading, render::printable(line));
}
}  // namespace

int doctor_command(const Arguments& arguments) {
  Parser parser("doctor", "[OPTIONS] CMD [ARGS...]",
                "Checks whether CMD can be tracked, and what would and would not be seen. CMD is not run.");
  parser.footer("Exit status: 0 CMD can be tracked, 1 it cannot, 125 unfreed could not do its job.");
  size_t options = parser.count_options(arguments);
  Arguments own(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(options));
  if (!own.empty() && own.back() == "--") own.pop_back();
  if (std::optional<int> status = parser.parse(own)) return *status;
  if (options == arguments.size()) {
    complain("no CMD given (try 'unfreed doctor --help')");
    return kFailure;
  }
  const std::string& command = arguments[options];
  Diagnosis diagnosis = diagnose(command);
  std::string tried;
  std::string runtime = find_runtime(tried);
  if (runtime.empty()) diagnosis.obstacles.push_back("libunfreed.so is missing; searched: " + tried);
  bool trackable = diagnosis.obstacles.empty();
  std::string text =
      fmt::format("{}: {}\n", render::printable(command), trackable ? "can be tracked" : "cannot be tracked");
  if (!diagnosis.files.empty())
    text += fmt::format("  {:<10} {}\n", "program", render::printable(diagnosis.files.back()));
  add(text, "obstacle", diagnosis.obstacles);
  if (trackable) {
    add(text, "limit", diagnosis.limits);
    text += fmt::format(
        "  {:<10} {}\n", "seen",
        "descriptors, heap blocks, threads, child processes, timers, shared memory and libraries, each with the "
        "stack that acquired it");
    text += fmt::format(
        "  {:<10} {}\n", "not seen",
        "system calls made without libc (descriptors that they open are listed, without a stack), calls from "
        "libraries opened by dlmopen or with RTLD_DEEPBIND, and child programs that are static or lack LD_PRELOAD");
  }
  add(text, "note", diagnosis.remarks);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return trackable ? kTrackable : kNotTrackable;
}

}  // namespace unfreed::cli
