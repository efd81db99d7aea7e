// A command's settings: UNFREED_* variables, and the options that mirror them and take precedence. Checked before
// anything runs: a bad option ends the command, a bad variable falls back to its default.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "settings/settings.h"

namespace unfreed::cli {

class SettingsInput {
 public:
  /// Adds the named options ("output", "fail-on" …) to a command's parser, or all of them for {}.
  void add_options(Parser& parser, std::initializer_list<std::string_view> names = {});
  void add_options(Parser& parser, const std::function<bool(const report::SettingRow&)>& is_wanted);

  /// Reads environment and options. False: a line has been printed, and the command ends with 125.
  bool read();

  /// Valid after read(), as long as this object.
  const report::Settings& settings() const { return settings_; }
  /// Was this variable's setting given, as an option or in the environment?
  bool is_given(std::string_view variable) const;
  /// Was it given as an option?
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
  std::map<std::string, bool> switches_;                           ///< by variable, as in given_
  std::map<std::string, Given, std::less<>> given_;                ///< by variable
  std::vector<std::string> dropped_;                               ///< variables whose values could not be read
  report::Settings settings_;
};

/// Puts an output template, or each of some ':'-separated files, under the working directory if it is relative
/// (settings/settings.h).
std::string make_output_absolute(std::string_view pattern);
std::string make_files_absolute(std::string_view files);

}  // namespace unfreed::cli
