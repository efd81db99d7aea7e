// The subcommands, and what they share: options the GNU way, one line for a mistake, exit status 125 for it.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unfreed::cli {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 125;  ///< unfreed itself could not do its job

using Arguments = std::vector<std::string>;

struct Command {
  const char* name;
  const char* usage;    ///< what follows the name in the synopsis
  const char* summary;  ///< one line; nullptr: not for people
  int (*run)(const Arguments& arguments);
};

// One file each.
int run_command(const Arguments& arguments);
int report_command(const Arguments& arguments);
int diff_command(const Arguments& arguments);
int check_command(const Arguments& arguments);
int snapshot_command(const Arguments& arguments);
int doctor_command(const Arguments& arguments);
int finish_command(const Arguments& arguments);

/// An option parser for `unfreed NAME`, set up like all others.
class Parser {
 public:
  Parser(std::string name, std::string usage, std::string description);

  CLI::App& app() { return app_; }
  /// Text shown below the options in --help.
  void footer(std::string text) { app_.footer(std::move(text)); }

  /// Reads `arguments`. Empty: go on. Else end with that status: help has been printed (0), or an error (125).
  std::optional<int> parse(const Arguments& arguments);

  /// How many of `arguments` are options, the first thing that is none ending them: "--" (counted), or a word that is
  /// no option's value.
  size_t count_options(const Arguments& arguments);

 private:
  std::string name_;
  CLI::App app_;
};

/// "unfreed: MESSAGE" on stderr.
void complain(std::string_view message);

}  // namespace unfreed::cli
