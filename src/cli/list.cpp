// unfreed list: what is being tracked on this machine.
#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/tracked_processes.h"
#include "render/function_names.h"
#include "render/paths.h"
#include "render/quantities.h"

namespace unfreed::cli {

int list_command(const Arguments& arguments) {
  Parser parser(
      "list", "",
      "Lists the processes that are being tracked on this machine, as far as this user may see them: how long "
      "they have run, what they hold and their command lines. `unfreed snapshot PID` shows more about one.");
  parser.footer("Exit status: 0, even if nothing is tracked.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  std::vector<TrackedProcess> processes = list_tracked_processes();
  if (processes.empty()) {
    std::puts("nothing is being tracked");
    return kSuccess;
  }
  std::string text =
      fmt::format("{:>8}  {:<12} {:>7} {:>10} {:>8}  {}\n", "PID", "RUNNING", "FDS", "HEAP", "THREADS", "COMMAND");
  for (const TrackedProcess& one : processes) {
    constexpr size_t kMostColumns = 100;
    std::string command =
        render::cut_to(render::printable(one.arguments.empty() ? one.name : one.arguments), kMostColumns);
    text +=
        fmt::format("{:>8}  {:<12} {:>7} {:>10} {:>8}  {}\n", one.pid, render::write_duration(one.running_ns),
                    render::write_count(one.descriptors), render::write_bytes(one.heap_bytes), one.threads, command);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

}  // namespace unfreed::cli
