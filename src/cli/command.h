// The subcommands, and what they share: GNU-style options, one line for a mistake, exit status 125 for it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "settings/exit_statuses.h"

namespace unfreed::cli {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = report::exit_status::failure;

/// Given instead of options, prints a command's options for completion and the manual page (describe in
/// command.cpp).
inline constexpr const char* kDescribe = "--describe";

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
int baseline_command(const Arguments& arguments);
int list_command(const Arguments& arguments);
int snapshot_command(const Arguments& arguments);
int watch_command(const Arguments& arguments);
int top_command(const Arguments& arguments);
int export_command(const Arguments& arguments);
int push_command(const Arguments& arguments);
int doctor_command(const Arguments& arguments);
int attach_command(const Arguments& arguments);
int detach_command(const Arguments& arguments);
int finish_command(const Arguments& arguments);

/// An option parser for `unfreed NAME`, set up like all others. The named values must outlive it. (Only command.cpp
/// includes the library behind it, which takes ten seconds to compile.)
class Parser {
 public:
  Parser(const std::string& name, const std::string& usage, std::string description);
  ~Parser();

  void flag(const char* names, bool& value, const char* help);
  /// An option with a value, which must be one of `choices` if there are any.
  void value(const char* names, const char* value_name, std::string& value, const char* help,
             const std::vector<std::string>& choices = {});
  void value(const char* names, const char* value_name, uint32_t& value, const char* help);
  /// As GNU programs have it: --name=VALUE, or --name alone, which means `implied`.
  void optional_value(const char* name, const char* value_name, std::string& value, const char* implied,
                      const char* help, const std::vector<std::string>& choices = {});
  /// An option that may be given several times.
  void values(const char* names, const char* value_name, std::vector<std::string>& values, const char* help);
  /// Required arguments: one, a positive number, one or more.
  void operand(const char* name, std::string& value, const char* help);
  void operand(const char* name, int& value, const char* help);
  /// It may be left out.
  void optional_operand(const char* name, std::string& value, const char* help);
  void operands(const char* name, std::vector<std::string>& values, const char* help);
  /// What completion and the manual page need of an option besides its help.
  struct Document {
    std::string completes;  ///< words, or <file>
    std::string variable;   ///< that does the same
    std::string more;       ///< sentences after the help
  };
  void document(const char* names, Document document);
  /// Text shown below the options in --help.
  void footer(std::string text);

  /// Reads `arguments`. Empty: continue. Else end with that status: help has been printed (0), or an error (125).
  std::optional<int> parse(const Arguments& arguments);

  /// How many of `arguments` are options. They end with "--" (counted), or before the first word that is neither an
  /// option nor an option's value.
  size_t count_options(const Arguments& arguments);

 private:
  struct App;

  int describe() const;
  std::string describe_unknown_option(const Arguments& arguments) const;

  std::string name_;
  std::unique_ptr<App> app_;
  std::map<std::string, Document> documents_;   ///< by an option's names
  std::map<std::string, std::string> implied_;  ///< the values of options that are given without one
};

/// "unfreed: MESSAGE" on stderr.
void complain(std::string_view message);

/// Writes to stderr, in pieces of up to 4 KiB that are written whole. Gives up on a reader that reads nothing for a
/// second, or not all of it within ten: nothing waits for ever for a summary to be read.
void write_message(std::string_view text);

}  // namespace unfreed::cli
