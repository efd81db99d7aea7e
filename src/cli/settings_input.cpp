#include "cli/settings_input.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "base/syscall.h"

namespace unfreed::cli {

namespace {

/// What one of the functions that put names under the working directory makes of `names`, each by that much longer.
template <class Function>
std::string under_working_directory(std::string_view names, Function add_absolute) {
  std::array<char, PATH_MAX> place;
  std::string_view directory = base::current_directory(place);
  size_t count = 1 + static_cast<size_t>(std::count(names.begin(), names.end(), ':'));
  std::string result(names.size() + count * (2 * directory.size() + 1) + 1, '\0');
  base::TextBuilder text(result);
  add_absolute(text, names, directory);
  result.resize(text.size());
  return result;
}
}  // namespace

std::string make_output_absolute(std::string_view pattern) {
  return under_working_directory(pattern, report::add_absolute_output);
}

std::string make_files_absolute(std::string_view files) {
  return under_working_directory(files, report::add_absolute_files);
}

void SettingsInput::add_options(Parser& parser, std::initializer_list<std::string_view> names) {
  add_options(parser, [&](const report::SettingRow& row) {
    return names.size() == 0 || std::find(names.begin(), names.end(), option_name(row)) != names.end();
  });
}

void SettingsInput::add_options(Parser& parser, const std::function<bool(const report::SettingRow&)>& is_wanted) {
  for (const report::SettingRow& row : report::setting_rows()) {
    std::string_view name = option_name(row);
    if (name.empty() || !is_wanted(row)) continue;
    if (*row.value)
      parser.values(row.option, row.value, option_values_[std::string(name)], row.help);
    else
      parser.flag(row.option, switches_[std::string(name)], row.help);
    parser.document(row.option, {row.completes, std::string(row.variable), row.more});
  }
}

void SettingsInput::gather() {
  for (char** entry = environ; *entry; ++entry) {
    std::string_view text = *entry;
    size_t equals = text.find('=');
    if (!text.starts_with("UNFREED_") || equals == std::string_view::npos) continue;
    given_[std::string(text.substr(0, equals))] = {std::string(text.substr(equals + 1)), false};
  }
  for (const report::SettingRow& row : report::setting_rows()) {
    std::string name(option_name(row));
    const std::vector<std::string>& values = option_values_[name];
    if (switches_[name]) given_[std::string(row.variable)] = {"1", true};
    if (values.empty()) continue;
    std::string value =
        row.joined_by ? fmt::format("{}", fmt::join(values, std::string(1, row.joined_by))) : values.back();
    given_[std::string(row.variable)] = {value, true};
  }
}

bool SettingsInput::complain_about(const report::SettingError& error) {
  std::array<char, 1024> line;
  size_t length = report::describe(error, line);
  std::string text(line.data(), std::min(length, line.size()));
  auto found = given_.find(error.variable);
  bool from_option = found != given_.end() && found->second.from_option;
  // The user wrote an option, so that is what the message speaks of.
  if (from_option && text.starts_with(error.variable))
    for (const report::SettingRow& row : report::setting_rows())
      if (row.variable == error.variable)
        text = fmt::format("--{}{}", option_name(row), text.substr(error.variable.size()));
  bool ends = from_option || error.fatal;
  complain(ends || !error.meant.empty() ? text : text + "; the default is used");
  if (!ends) dropped_.emplace_back(error.variable);
  return !ends;
}

bool SettingsInput::read() {
  gather();
  if (is_option("UNFREED_FAIL_ON") && !is_given("UNFREED_FAIL_ON")) {
    complain("--fail-on is empty: no rule would be checked");
    return false;
  }
  std::vector<std::string> texts;
  for (const auto& [variable, given] : given_) texts.push_back(variable + "=" + given.value);
  std::vector<const char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  std::array<report::SettingError, report::kMaxSettingErrors> errors;
  // What the settings point into must live as long as they: read them again from given_, without what is bad.
  report::Settings trial;
  size_t count = report::read_settings(pointers.data(), trial, errors);
  bool fine = true;
  for (size_t at = 0; at < std::min(count, errors.size()); ++at) fine = complain_about(errors[at]) && fine;
  if (!fine) return false;
  for (const std::string& variable : dropped_) given_.erase(variable);
  if (auto output = given_.find("UNFREED_OUTPUT"); output != given_.end() && !output->second.value.empty())
    output->second.value = make_output_absolute(output->second.value);
  if (auto files = given_.find("UNFREED_SUPPRESSIONS"); files != given_.end())
    files->second.value = make_files_absolute(files->second.value);
  for (const auto& [variable, given] : given_) {
    report::SettingError error{};
    report::apply_setting(variable, given.value, settings_, error);
  }
  return true;
}

bool SettingsInput::is_given(std::string_view variable) const {
  auto found = given_.find(variable);
  return found != given_.end() && !found->second.value.empty();
}

bool SettingsInput::is_option(std::string_view variable) const {
  auto found = given_.find(variable);
  return found != given_.end() && found->second.from_option;
}

std::vector<std::string> SettingsInput::environment() const {
  std::vector<std::string> result;
  for (char** entry = environ; *entry; ++entry) {
    std::string_view text = *entry;
    if (!text.starts_with("UNFREED_")) result.emplace_back(text);
  }
  for (const auto& [variable, given] : given_) result.push_back(variable + "=" + given.value);
  if (!is_given("UNFREED_OUTPUT")) result.push_back("UNFREED_OUTPUT=" + make_output_absolute(report::kDefaultOutput));
  return result;
}

}  // namespace unfreed::cli
