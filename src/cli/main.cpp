// The unfreed command: finds the subcommand and hands it its arguments.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "base/similar.h"
#include "cli/command.h"
#include "cli/ledger_files.h"
#include "cli/shortened_maps.h"
#include "cli/version.h"
#include "ledger/leftovers.h"
#include "settings/settings.h"

namespace unfreed::cli {
namespace {

constexpr Command kCommands[] = {
    {"run", "[OPTIONS] [--] CMD [ARGS...]", "run CMD, and every process it starts, under unfreed", run_command},
    {"report", "[OPTIONS] FILE...", "show or convert reports (JSON or ledgers)", report_command},
    {"diff", "[OPTIONS] OLD NEW", "compare two reports: what is new, grew, shrank or is gone", diff_command},
    {"check", "[OPTIONS] FILE... --fail-on RULES", "apply rules to existing reports", check_command},
    {"baseline", "[OPTIONS] write|update|check FILE REPORT...", "keep a file of accepted leaks: only new ones fail",
     baseline_command},
    {"list", "", "show what is being tracked on this machine", list_command},
    {"snapshot", "[OPTIONS] PID|NAME", "report on a running process", snapshot_command},
    {"attach", "[OPTIONS] [PID|NAME]", "trace what a running process acquires from now on", attach_command},
    {"detach", "[OPTIONS] PID|NAME", "end what attach --preload has begun, with a report", detach_command},
    {"watch", "[OPTIONS] PID|NAME", "say what keeps growing in a running process", watch_command},
    {"top", "[OPTIONS] [PID|NAME]", "show what tracked processes hold, and what grows, as they run", top_command},
    {"export", "[OPTIONS]", "serve what tracked processes hold to Prometheus (OpenMetrics)", export_command},
    {"push", "[OPTIONS] URL [REPORT|PID|NAME]", "send profiles to Pyroscope or Parca", push_command},
    {"doctor", "[OPTIONS] CMD [ARGS...]", "check whether CMD can be tracked, and how well", doctor_command},
    {"finish", "[OPTIONS] LEDGER", nullptr, finish_command},
};

int print_help() {
  std::string text =
      "unfreed: what does a program still hold, and which line of code acquired it?\n\n"
      "Usage: unfreed COMMAND [OPTIONS] ...\n\nCommands:\n";
  for (const Command& command : kCommands)
    if (command.summary) text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  text +=
      "\nOptions:\n  -h, --help     print this help and exit\n      --version  print the version and exit\n\n"
      "'unfreed COMMAND --help' describes each command; see also unfreed(1).\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

/// For completion and the manual page, a line each, with tabs between: commands (name, what follows it, what it does),
/// variables that no option mirrors (name, what it does), exit statuses (number, meaning), what rules name.
int describe() {
  std::string text;
  for (const Command& command : kCommands)
    if (command.summary) text += fmt::format("command\t{}\t{}\t{}\n", command.name, command.usage, command.summary);
  for (const report::SettingRow& row : report::setting_rows())
    if (!*row.option) text += fmt::format("variable\t{}\t{}\n", row.variable, row.help);
#define EXIT_STATUS(name, number, meaning) text += "status\t" #number "\t" meaning "\n";
#include "settings/exit_statuses.inc"
#undef EXIT_STATUS
  for (size_t at = 0; at < report::kSubjectCount; ++at)
    text += fmt::format("subject\t{}\n", report::kSubjects[at].name);
  for (const report::CounterRow& row : report::kRows)
    if (row.in_rules) text += fmt::format("field\t{}\n", row.name);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

int dispatch(const Arguments& words) {
  if (words.empty()) {
    complain("no command given (try 'unfreed --help')");
    return kFailure;
  }
  const std::string& name = words[0];
  if (name == "--help" || name == "-h") return print_help();
  if (name == kDescribe) return describe();
  if (name == "--version" || name == "-V") {
    std::fputs(version_text().c_str(), stdout);
    return kSuccess;
  }
  Arguments rest(words.begin() + 1, words.end());
  if (name == "help" && rest.empty()) return print_help();
  const std::string& wanted = name == "help" ? rest[0] : name;
  for (const Command& command : kCommands) {
    if (wanted != command.name) continue;
    if (command.run != run_command) outlive_shortened_maps();  // `run` takes all signals
    int status = command.run(name == "help" ? Arguments{"--help"} : rest);
    // Afterwards, so that a leftover ledger that the user names can still be read. `run` does it while CMD runs.
    if (command.run != run_command && command.run != finish_command)
      ledger::remove_leftover_folders(ledger_directory().c_str(), geteuid());
    return status;
  }
  base::Nearest nearest(wanted);
  for (const Command& command : kCommands)
    if (command.summary) nearest.consider(command.name);
  for (const char* option : {"--help", "--version", "help"}) nearest.consider(option);
  std::string meant = nearest.found().empty() ? "" : fmt::format("; did you mean '{}'?", nearest.found());
  complain(fmt::format("unknown {} '{}'{} (try 'unfreed --help')", wanted.starts_with('-') ? "option" : "command",
                       wanted, meant));
  return kFailure;
}

}  // namespace
}  // namespace unfreed::cli

int main(int argc, char** argv) {
  try {
    int status = unfreed::cli::dispatch({argv + (argc > 0 ? 1 : 0), argv + argc});
    if (std::fflush(stdout) != 0 && status == 0) {
      unfreed::cli::complain("standard output cannot be written");
      status = unfreed::cli::kFailure;
    }
    return status;
  } catch (const std::exception& error) {
    // Nothing below throws for a user's mistake: this is out of memory, or an error of our own.
    unfreed::cli::complain(error.what());
    return unfreed::cli::kFailure;
  }
}
