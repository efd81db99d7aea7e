#include "settings/settings.h"

#include <signal.h>

#include "base/printable.h"
#include "base/scan.h"
#include "base/text.h"
#include "settings/suppressions.h"

namespace unfreed::report {

namespace {

struct SignalName {
  std::string_view name;
  int number;
};
constexpr SignalName kSignalNames[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},   {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM}, {"CHLD", SIGCHLD},   {"CONT", SIGCONT},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},     {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},
    {"PWR", SIGPWR},
};
// SIGRTMIN as programs see it: glibc and musl keep the first ones of the kernel's 32 to themselves.
constexpr int kFirstRealtime = 34;
constexpr int kLastRealtime = 64;

/// Signals a report can be asked for with: those that can be caught and do not report a fault of the program.
bool is_usable_signal(uint64_t number) {
  if (number >= kFirstRealtime && number <= kLastRealtime) return true;
  for (const SignalName& signal : kSignalNames)
    if (static_cast<uint64_t>(signal.number) == number) return true;
  return false;
}

bool parse_signal(std::string_view text, int& out) {
  if (text == "off") {
    out = 0;
    return true;
  }
  uint64_t number = 0;
  if (base::parse_number(text, number)) {
    if (!is_usable_signal(number)) return false;
    out = static_cast<int>(number);
    return true;
  }
  if (base::slice(text, 0, 3) == "SIG") text.remove_prefix(3);
  for (const SignalName& signal : kSignalNames) {
    if (signal.name != text) continue;
    out = signal.number;
    return true;
  }
  if (base::slice(text, 0, 6) != "RTMIN+" || !base::parse_number(base::slice(text, 6), number)) return false;
  if (number > kLastRealtime - kFirstRealtime) return false;
  out = kFirstRealtime + static_cast<int>(number);
  return true;
}

bool parse_ranges(std::string_view text, NumberRanges& out) {
  NumberRanges ranges;
  for (bool more = true; more;) {
    bool to_end = false;
    std::string_view range = base::trimmed(base::next_part(text, ',', more));
    std::string_view first = base::trimmed(base::next_part(range, '-', to_end));
    uint64_t from = 0, to = 0;
    if (ranges.count == NumberRanges::kMost || !base::parse_number(first, from)) return false;
    to = from;
    if (to_end && !base::parse_number(base::trimmed(range), to)) return false;
    if (to > INT32_MAX || from > to) return false;
    ranges.ranges[ranges.count++] = {static_cast<int>(from), static_cast<int>(to)};
  }
  out = ranges;
  return true;
}

bool parse_kinds(std::string_view text, uint32_t& out) {
  if (base::trimmed(text) == "all") {
    out = kAllKinds;
    return true;
  }
  uint32_t kinds = 0;
  for (bool more = true; more;) {
    ledger::Kind kind{};
    if (!kind_from_name(base::trimmed(base::next_part(text, ',', more)), kind)) return false;
    uint32_t bit = 1u << static_cast<uint32_t>(kind);
    kinds |= bit;
  }
  out = kinds;
  return true;
}

bool parse_switch(std::string_view text, bool& out) {
  if (text != "0" && text != "1") return false;
  out = text == "1";
  return true;
}

bool parse_bounded(std::string_view text, uint64_t lowest, uint64_t highest, uint64_t& out) {
  uint64_t value = 0;
  if (!base::parse_number(text, value) || value < lowest || value > highest) return false;
  out = value;
  return true;
}

/// A number, then K, M, G (powers of 1024) or nothing.
bool parse_bytes(std::string_view text, uint64_t& out) {
  uint64_t unit = 1;
  if (!text.empty()) {
    char last = text.back();
    unit = last == 'K' ? 1u << 10 : last == 'M' ? 1u << 20 : last == 'G' ? 1u << 30 : 1;
    if (unit != 1) text.remove_suffix(1);
  }
  uint64_t number = 0;
  return base::parse_number(text, number) && !__builtin_mul_overflow(number, unit, &out);
}

constexpr auto kKindsAccepted = list_kinds("", " and ").add(", separated by commas, or all");
constexpr std::string_view kFailOn = "UNFREED_FAIL_ON";
constexpr const char* kRulesAccepted = "rules such as fd>0,heap.bytes>1M";

bool apply_rules(std::string_view value, Settings& settings, SettingError& error) {
  RuleSet rules;
  ParseError detail;
  if (!parse_rules(value, rules, detail)) {
    error = {kFailOn, value, kRulesAccepted, detail, true};
    return false;
  }
  settings.rules = rules;
  settings.rules_text = value;
  return true;
}

/// A rule about a kind that UNFREED_TRACK leaves out could never be broken: that is an error, not a pass.
bool check_rules_are_tracked(const Settings& settings, SettingError& error) {
  for (const Rule& rule : settings.rules.all()) {
    if (settings.kinds & 1u << static_cast<uint32_t>(rule.kind())) continue;
    ParseError detail{static_cast<size_t>(rule.text.data() - settings.rules_text.data()), rule.text.size(),
                      "the rule's kind is not tracked: UNFREED_TRACK leaves it out"};
    error = {kFailOn, settings.rules_text, "rules about kinds that are tracked", detail, true};
    return false;
  }
  return true;
}

}  // namespace

bool apply_setting(std::string_view variable, std::string_view value, Settings& settings, SettingError& error) {
  // An empty value is how scripts say "not set".
  if (value.empty() || base::slice(variable, 0, 8) != "UNFREED_") return true;
  auto refuse = [&](const char* accepted, bool fatal = false) {
    error = {variable, value, accepted, {}, fatal};
    return false;
  };
  std::string_view name = base::slice(variable, 8);
  uint64_t number = 0;
  if (name == "OUTPUT") {
    settings.output = value;
  } else if (name == "ONLY") {
    settings.only = value;
  } else if (name == "ALLOW_UNTRACKED") {
    settings.allow_untracked = value;
  } else if (name == "SUPPRESSIONS") {
    settings.suppressions = value;
  } else if (name == "FAIL_ON") {
    return apply_rules(value, settings, error);
  } else if (name == "TRACK") {
    if (!parse_kinds(value, settings.kinds)) return refuse(kKindsAccepted.text);
  } else if (name == "INHERITABLE") {
    if (!parse_ranges(value, settings.inheritable))
      return refuse("descriptor numbers and ranges of them, separated by commas: 3,10-19");
  } else if (name == "EXITCODE") {
    if (!parse_bounded(value, 1, 255, number)) return refuse("a number from 1 to 255", true);
    settings.exit_code = static_cast<int>(number);
  } else if (name == "SIGNAL") {
    if (!parse_signal(value, settings.report_signal))
      return refuse("a signal's name or number that a program can catch and that reports no fault, or off");
  } else if (name == "DEPTH") {
    if (!parse_bounded(value, 1, kMaxDepth, number)) return refuse("a number from 1 to 512");
    settings.depth = static_cast<uint32_t>(number);
  } else if (name == "SAMPLE") {
    if (!parse_bytes(value, number) || number > kMaxSampleBytes)
      return refuse("a number of bytes up to 1G; K, M and G are powers of 1024, 0 is every block");
    settings.sample_bytes = number;
  } else if (name == "QUIET") {
    if (!parse_switch(value, settings.quiet)) return refuse("0 or 1");
  } else if (name == "FORCE") {
    if (!parse_switch(value, settings.force)) return refuse("0 or 1");
  } else if (name == "DISABLE") {
    if (!parse_switch(value, settings.disabled)) return refuse("0 or 1");
  }
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
    if (!apply_setting(base::slice(entry, 0, equals), base::slice(entry, equals + 1), settings, error)) keep(error);
  }
  SettingError error{};
  if (!check_rules_are_tracked(settings, error)) keep(error);
  return count;
}

size_t describe(const SettingError& error, std::span<char> out) {
  constexpr size_t kMostShownOfAValue = 120;
  base::TextBuilder line(out);
  line.add(error.variable).add('=');
  base::add_printable(line, error.value, kMostShownOfAValue);
  line.add(": ");
  if (!error.detail.message) {
    line.add("not understood; accepted: ").add(error.accepted);
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
  return line.size();
}

namespace {
/// Calls `matches(pattern)` for each of the comma-separated patterns, until one does.
template <class Matches>
bool any_pattern(std::string_view patterns, Matches matches) {
  for (bool more = true; more;) {
    std::string_view pattern = base::trimmed(base::next_part(patterns, ',', more));
    if (!pattern.empty() && matches(pattern)) return true;
  }
  return false;
}
}  // namespace

bool is_wanted(const Settings& settings, std::string_view program_name) {
  if (base::trimmed(settings.only).empty()) return true;
  std::string_view name = base::base_name(program_name);
  return any_pattern(settings.only, [&](std::string_view pattern) { return matches_pattern(pattern, name); });
}

bool is_untracked_allowed(std::string_view patterns, std::string_view program) {
  std::string_view name = base::base_name(program);
  return any_pattern(patterns, [&](std::string_view pattern) {
    return matches_pattern(pattern, name) || matches_pattern(pattern, program);
  });
}

void add_absolute_output(base::TextBuilder& out, std::string_view pattern, std::string_view directory) {
  bool is_relative = !pattern.empty() && pattern.front() != '/' && pattern != kStandardOutput;
  if (is_relative && !directory.empty()) {
    for (char character : directory) {
      out.add(character);
      if (character == '%') out.add('%');
    }
    if (directory.back() != '/') out.add('/');
  }
  out.add(pattern);
}

void add_absolute_files(base::TextBuilder& out, std::string_view files, std::string_view directory) {
  bool is_first = true;
  for (bool more = true; more;) {
    std::string_view file = base::next_part(files, ':', more);
    if (file.empty()) continue;
    if (!is_first) out.add(':');
    is_first = false;
    if (file.front() != '/' && !directory.empty()) out.add(directory).add(directory.back() == '/' ? "" : "/");
    out.add(file);
  }
}

bool has_pid(std::string_view pattern) {
  for (size_t at = 0; at + 1 < pattern.size(); ++at)
    if (pattern[at] == '%' && pattern[++at] == 'p') return true;
  return false;
}

namespace {
/// A program's name as part of a file name.
void add_name(base::TextBuilder& out, std::string_view name) {
  for (char character : base::base_name(name)) out.add(character);
}
}  // namespace

size_t expand_output(std::string_view pattern, std::string_view directory, std::string_view program_name, int pid,
                     uint32_t report_number, std::span<char> out) {
  base::TextBuilder path(out);
  if (pattern.empty()) return 0;
  if (pattern == kStandardOutput) return path.add(pattern).cut() ? 0 : path.size();
  if (pattern.front() != '/') {
    if (directory.empty()) return 0;
    path.add(directory);
    if (directory.back() != '/') path.add('/');
  }
  for (size_t at = 0; at < pattern.size(); ++at) {
    char next = pattern[at] == '%' && at + 1 < pattern.size() ? pattern[at + 1] : '\0';
    if (next == 'p')
      path.add_signed(pid);
    else if (next == 'e')
      add_name(path, program_name);
    else if (next == 'n')
      path.add_number(report_number);
    else if (next == '%')
      path.add('%');
    else {
      path.add(pattern[at]);
      continue;
    }
    ++at;
  }
  return path.cut() ? 0 : path.size();
}

}  // namespace unfreed::report
