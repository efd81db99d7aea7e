#include "cli/settings_input.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "base/syscall.h"

namespace unfreed::cli {

namespace {

constexpr auto kKindsHelp = report::list_kinds("kinds to track, comma separated: ", ", ").add(" or all");

struct Mirror {
  std::string_view name;
  const char* flags;
  const char* value_name;
  std::string_view variable;
  const char* help;
  char joined_by;  ///< between the values of an option given several times; '\0': the last one wins
};
constexpr Mirror kMirrors[] = {
    {"output", "-o,--output", "FILE", "UNFREED_OUTPUT",
     "write the report to FILE; %p pid, %e program, %n number of the report, %% percent sign (default: "
     "unfreed.%e.%p.json)",
     '\0'},
    {"track", "--track", "KINDS", "UNFREED_TRACK", kKindsHelp.text,
     '\0'},
    {"only", "--only", "NAMES", "UNFREED_ONLY", "track only programs of these names (shell patterns, comma separated)",
     ','},
    {"allow-untracked", "--allow-untracked", "PATTERNS", "UNFREED_ALLOW_UNTRACKED",
     "programs that need not be tracked, by name or path (shell patterns, comma separated): rules pass without them",
     ','},
    {"fail-on", "--fail-on", "RULES", "UNFREED_FAIL_ON",
     "fail when a rule is broken: 'fd>0', 'heap.bytes>1M,thread>0', 'site.fd>=10'", ','},
    {"inheritable", "--inheritable", "NUMBERS", "UNFREED_INHERITABLE",
     "descriptors that may go along into other programs: numbers and ranges, comma separated (3,10-19)", ','},
    {"exit-code", "--exit-code", "N", "UNFREED_EXITCODE", "exit status when a rule is broken (default: 23)", '\0'},
    {"signal", "--signal", "NAME", "UNFREED_SIGNAL",
     "signal that asks a process for a report: name, number or off (default: USR2)", '\0'},
    {"depth", "--depth", "N", "UNFREED_DEPTH", "frames kept per stack, 1 to 512 (default: 128)", '\0'},
    {"sample", "--sample", "BYTES", "UNFREED_SAMPLE",
     "track one heap block in BYTES bytes (K, M, G: powers of 1024) and estimate the rest; 0: every block (default)",
     '\0'},
    {"suppressions", "--suppressions", "FILES", "UNFREED_SUPPRESSIONS",
     "files that say what is known and accepted, ':' between them", ':'},
};
/// An option without a value.
struct Switch {
  std::string_view name;
  const char* flags;
  std::string_view variable;
  const char* help;
};
constexpr Switch kSwitches[] = {
    {"quiet", "-q,--quiet", "UNFREED_QUIET", "no summary on standard error"},
    {"force", "--force", "UNFREED_FORCE", "let the report's FILE be replaced whatever it is (else only a report is)"},
};

std::string_view option_of(std::string_view variable) {
  for (const Mirror& mirror : kMirrors)
    if (mirror.variable == variable) return mirror.name;
  for (const Switch& one : kSwitches)
    if (one.variable == variable) return one.name;
  return "";
}

}  // namespace

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
  auto is_wanted = [&](std::string_view name) {
    return names.size() == 0 || std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const Mirror& mirror : kMirrors) {
    if (!is_wanted(mirror.name)) continue;
    parser.values(mirror.flags, mirror.value_name, option_values_[std::string(mirror.name)], mirror.help);
  }
  for (const Switch& one : kSwitches)
    if (is_wanted(one.name)) parser.flag(one.flags, switches_[std::string(one.name)], one.help);
}

void SettingsInput::gather() {
  for (char** entry = environ; *entry; ++entry) {
    std::string_view text = *entry;
    size_t equals = text.find('=');
    if (!text.starts_with("UNFREED_") || equals == std::string_view::npos) continue;
    given_[std::string(text.substr(0, equals))] = {std::string(text.substr(equals + 1)), false};
  }
  for (const Mirror& mirror : kMirrors) {
    const std::vector<std::string>& values = option_values_[std::string(mirror.name)];
    if (values.empty()) continue;
    std::string value =
        mirror.joined_by ? fmt::format("{}", fmt::join(values, std::string(1, mirror.joined_by))) : values.back();
    given_[std::string(mirror.variable)] = {value, true};
  }
  for (const Switch& one : kSwitches)
    if (switches_[std::string(one.name)]) given_[std::string(one.variable)] = {"1", true};
}

bool SettingsInput::complain_about(const report::SettingError& error) {
  std::array<char, 1024> line;
  size_t length = report::describe(error, line);
  std::string text(line.data(), std::min(length, line.size()));
  auto found = given_.find(error.variable);
  bool from_option = found != given_.end() && found->second.from_option;
  // The user wrote an option, so that is what the message speaks of.
  if (from_option && text.starts_with(error.variable))
    text = fmt::format("--{}{}", option_of(error.variable), text.substr(error.variable.size()));
  bool ends = from_option || error.fatal;
  complain(ends ? text : text + "; the default is used");
  if (!ends) dropped_.emplace_back(error.variable);
  return !ends;
}

bool SettingsInput::read() {
  gather();
  std::vector<std::string> texts;
  for (const auto& [variable, given] : given_) texts.push_back(variable + "=" + given.value);
  std::vector<const char*> pointers;
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
