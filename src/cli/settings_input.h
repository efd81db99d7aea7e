// The settings of a command: UNFREED_* variables and the options that mirror them, which win. Checked here, before
// anything runs: a bad option ends the command, a bad variable falls back to its default as the contract has it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "settings/settings.h"

namespace unfreed::cli {

class SettingsInput {
 public:
  /// Adds the options named ("output", "fail-on" …) to a command's parser, all of them for {}.
  void add_options(Parser& parser, std::initializer_list<std::string_view> names = {});

  /// Reads environment and options. False: a line has been printed, and the command ends with 125.
  bool read();

  /// Valid after read(), as long as this object.
  const report::Settings& settings() const { return settings_; }
  /// Was the setting of this variable given, as an option or in the environment?
  bool is_given(std::string_view variable) const;
  /// Was it an option?
  bool is_option(std::string_view variable) const;

  /// The environment for a program to be tracked: this process's, with the settings read. Paths in it are absolute.
  std::vector<std::string> environment() const;

 private:
  struct Given {
    std::string value;
    bool from_option;
  };
  void gather();
  bool complain_about(const report::SettingError& error);

  std::map<std::string, std::vector<std::string>> option_values_;  ///< by option name
  std::map<std::string, bool> switches_;                           ///< likewise
  std::map<std::string, Given, std::less<>> given_;                ///< by variable
  std::vector<std::string> dropped_;                               ///< variables whose values could not be read
  report::Settings settings_;
};

/// An output template, and each of some ':'-separated files, under the working directory where they are relative
/// (settings/settings.h).
std::string make_output_absolute(std::string_view pattern);
std::string make_files_absolute(std::string_view files);

}  // namespace unfreed::cli
