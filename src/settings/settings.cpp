#include "settings/settings.h"

#include "base/printable.h"
#include "base/scan.h"
#include "base/similar.h"
#include "base/text.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

/// ASCII's record separator: what no file name or pattern contains.
constexpr char kBetweenKept = '\x1e';
constexpr std::string_view kFailOn = "UNFREED_FAIL_ON";
constexpr const char* kRulesAccepted = "rules such as fd>0,heap.bytes>1M";
constexpr const char* kLevelsAccepted = "numbers such as fd>=800,heap.bytes>=1G";
constexpr auto kKindsAccepted = list_kinds("", " and ").add(", separated by commas, or all");
constexpr auto kKindsHelp =
    list_kinds("kinds to track, comma separated: ", ", ").add(" or all (default: all but mapping)");
/// For the shell's completion.
constexpr auto kKindNames = list_kinds("all ", " ", " ");

constexpr SettingRow kSettingRows[] = {
#define SETTING(type, member, by_default, variable, option, value, joined, required, used_by, read, accepted, \
                completes, help, more)                                                                        \
  {"UNFREED_" variable, option, value, joined, SettingUse::used_by, completes, help, more},
#include "settings/settings.inc"
#undef SETTING
};

/// A reader that can say which part of the value is at fault does so in `detail`.
template <class Value>
bool call_reader(bool (*read)(std::string_view, Value&, ParseError&), std::string_view text, Value& out,
                 ParseError& detail) {
  return read(text, out, detail);
}
template <class Value>
bool call_reader(bool (*read)(std::string_view, Value&), std::string_view text, Value& out, ParseError&) {
  return read(text, out);
}

/// False: the name is none of ours, but nearly. Whoever misspells UNFREED_FAIL_ON believes in rules that nobody checks.
bool check_name(std::string_view variable, std::string_view value, SettingError& error) {
  constexpr std::string_view kPrefix = "UNFREED_";
  // What no row has: where ledgers are, and what the command and the runtime tell each other.
  constexpr std::string_view kOthers[] = {"UNFREED_LEDGER_DIR", "UNFREED_HELPER", "UNFREED_SESSION", "UNFREED_LAUNCHER",
                                          "UNFREED_ALL_REPORTS"};
  if (!variable.starts_with(kPrefix)) return true;
  for (std::string_view known : kOthers)
    if (variable == known) return true;
  base::Nearest nearest(base::slice(variable, kPrefix.size()));
  for (const SettingRow& row : kSettingRows) {
    if (variable == row.variable) return true;
    nearest.consider(base::slice(row.variable, kPrefix.size()));
  }
  nearest.consider(base::slice(kOthers[0], kPrefix.size()));
  if (nearest.found().empty()) return true;
  error = {};
  error.variable = variable;
  error.value = value;
  error.meant = nearest.found();
  return false;
}

/// A rule about a kind that UNFREED_TRACK leaves out could never be broken: that is an error, not a pass.
bool check_rules_are_tracked(const Settings& settings, SettingError& error) {
  for (const Rule& rule : settings.rules.all()) {
    if (settings.kinds & 1u << static_cast<uint32_t>(rule.kind())) continue;
    ParseError detail{static_cast<size_t>(rule.text.data() - settings.rules.text.data()), rule.text.size(),
                      "this kind is not tracked (see --track, UNFREED_TRACK)"};
    error = {kFailOn, settings.rules.text, "rules about kinds that are tracked", detail, true};
    return false;
  }
  return true;
}

}  // namespace

std::span<const SettingRow> setting_rows() { return kSettingRows; }

std::string_view option_name(const SettingRow& row) {
  std::string_view names = row.option;
  size_t dashes = names.rfind("--");
  return dashes == std::string_view::npos ? std::string_view() : base::slice(names, dashes + 2);
}

bool apply_setting(std::string_view variable, std::string_view value, Settings& settings, SettingError& error) {
  // An empty value is how scripts say "not set".
  if (value.empty()) return true;
  ParseError detail;
  size_t row = 0;
#define SETTING(type, member, by_default, name, option, shown_value, joined, required, used_by, read, accepted, \
                completes, help, more)                                                                          \
  if (variable == "UNFREED_" name) {                                                                            \
    type result = by_default;                                                                                   \
    if (!call_reader<type>(read, value, result, detail)) {                                                      \
      error = {variable, value, accepted, detail, required};                                                    \
      return false;                                                                                             \
    }                                                                                                           \
    settings.member = result;                                                                                   \
    settings.given[row] = value;                                                                                \
    return true;                                                                                                \
  }                                                                                                             \
  ++row;
#include "settings/settings.inc"
#undef SETTING
  return true;
}

size_t read_settings(const char* const* environment, Settings& settings, std::span<SettingError> errors) {
  size_t count = 0;
  auto keep = [&](const SettingError& error) {
    // A fatal error must not get lost behind a crowd of others.
    if (count < errors.size())
      errors[count++] = error;
    else if (error.fatal && !errors.empty())
      errors[count - 1] = error;
  };
  for (; environment && *environment; ++environment) {
    std::string_view entry(*environment);
    size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    SettingError error{};
    std::string_view variable = base::slice(entry, 0, equals);
    std::string_view value = base::slice(entry, equals + 1);
    if (!apply_setting(variable, value, settings, error) || !check_name(variable, value, error)) keep(error);
  }
  SettingError error{};
  if (!check_rules_are_tracked(settings, error)) keep(error);
  return count;
}

void add_evaluation_settings(base::TextBuilder& out, const Settings& settings) {
  for (size_t row = 0; row < kSettingCount; ++row)
    if (kSettingRows[row].used_by == SettingUse::evaluation && !settings.given[row].empty())
      out.add(kSettingRows[row].variable).add('=').add(settings.given[row]).add(kBetweenKept);
}

void read_evaluation_settings(std::string_view kept, Settings& settings) {
  while (!kept.empty()) {
    std::string_view entry = base::slice(kept, 0, kept.find(kBetweenKept));
    kept = base::slice(kept, entry.size() + 1);
    size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    SettingError error{};
    for (const SettingRow& row : kSettingRows)
      if (row.used_by == SettingUse::evaluation && row.variable == base::slice(entry, 0, equals))
        apply_setting(row.variable, base::slice(entry, equals + 1), settings, error);
  }
}

void prefer_given(const Settings& given, Settings& settings) {
  SettingError error{};
  for (size_t row = 0; row < kSettingCount; ++row)
    apply_setting(kSettingRows[row].variable, given.given[row], settings, error);
}

size_t describe(const SettingError& error, std::span<char> out) {
  constexpr size_t kMostShownOfAValue = 120;
  base::TextBuilder line(out);
  if (!error.meant.empty()) {
    line.add("unknown variable ");
    base::add_printable(line, error.variable, kMostShownOfAValue);
    line.add("; did you mean UNFREED_").add(error.meant).add('?');
    return line.size();
  }
  line.add(error.variable).add('=');
  base::add_printable(line, error.value, kMostShownOfAValue);
  line.add(": ");
  if (!error.detail.message) {
    line.add("invalid; expected ").add(error.accepted);
    return line.size();
  }
  if (error.detail.length > 0) {
    line.add("at '");
    base::add_printable(line, base::slice(error.value, error.detail.position, error.detail.length), kMostShownOfAValue);
    line.add("': ");
  } else {
    line.add("at position ").add_number(error.detail.position + 1).add(": ");
  }
  line.add(error.detail.message);
  if (!error.detail.meant.empty()) line.add("; did you mean '").add(error.detail.meant).add("'?");
  return line.size();
}

bool is_wanted(const Settings& settings, std::string_view program_name) {
  return base::trimmed(settings.only).empty() || is_named(settings.only, base::base_name(program_name));
}

}  // namespace unfreed::report
