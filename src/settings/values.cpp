#include "settings/values.h"

#include <signal.h>

#include <initializer_list>

#include "base/scan.h"
#include "base/text.h"
#include "settings/subjects.h"

namespace unfreed::report {

namespace {

/// `words`: of the enumeration's values, in their order.
template <class Enumeration>
bool read_word(std::string_view text, std::initializer_list<std::string_view> words, Enumeration& out) {
  size_t at = 0;
  for (std::string_view word : words) {
    if (text == word) {
      out = static_cast<Enumeration>(at);
      return true;
    }
    ++at;
  }
  return false;
}

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

}  // namespace

bool read_signal(std::string_view text, int& out) {
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

bool read_ranges(std::string_view text, NumberRanges& out) {
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

bool read_kinds(std::string_view text, uint32_t& out) {
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

bool read_switch(std::string_view text, bool& out) {
  if (text != "0" && text != "1") return false;
  out = text == "1";
  return true;
}

bool read_backend(std::string_view text, Backend& out) {
  return read_word(text, {"auto", "preload", "trace", "ebpf"}, out);
}

bool read_grade_when(std::string_view text, GradeWhen& out) { return read_word(text, {"off", "exit", "on"}, out); }

bool read_follow(std::string_view text, Follow& out) { return read_word(text, {"environment", "force"}, out); }

bool parse_duration(std::string_view text, uint64_t& out) {
  struct Unit {
    std::string_view name;
    uint64_t ns;
  };
  constexpr uint64_t kSecond = 1'000'000'000;
  constexpr Unit kUnits[] = {{"ms", kSecond / 1000}, {"s", kSecond},        {"m", 60 * kSecond},
                             {"min", 60 * kSecond},  {"h", 3600 * kSecond}, {"d", 86400 * kSecond}};
  size_t digits = 0;
  while (digits < text.size() && base::is_digit(text[digits])) ++digits;
  uint64_t number = 0;
  if (!base::parse_number(base::slice(text, 0, digits), number) || !number) return false;
  for (const Unit& unit : kUnits)
    if (base::slice(text, digits) == unit.name) return !__builtin_mul_overflow(number, unit.ns, &out);
  return false;
}

bool parse_bytes(std::string_view text, uint64_t& out) {
  uint64_t unit = 1;
  if (!text.empty()) {
    unit = base::unit_of(text.back());
    if (unit != 1) text.remove_suffix(1);
  }
  uint64_t number = 0;
  return base::parse_number(text, number) && !__builtin_mul_overflow(number, unit, &out);
}

}  // namespace unfreed::report
