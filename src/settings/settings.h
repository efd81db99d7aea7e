// The UNFREED_* variables: one parser for the runtime (which reads its environment) and the command (whose options
// mirror them). Allocation-free; text values point into the environment given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/text.h"
#include "settings/rules.h"

namespace unfreed::report {

inline constexpr std::string_view kDefaultOutput = "unfreed.%e.%p.json";
inline constexpr std::string_view kStandardOutput = "-";  ///< as a report's name
inline constexpr int kDefaultExitCode = 23;
inline constexpr int kOwnFailureExitCode = 125;  ///< unfreed itself could not do its job
inline constexpr uint32_t kDefaultDepth = 128;
inline constexpr uint32_t kMaxDepth = 512;
inline constexpr uint64_t kMaxSampleBytes = 1u << 30;
/// Kinds tracked when UNFREED_TRACK is not given, and those that can be named there. Bit per ledger::Kind.
inline constexpr uint32_t kAllKinds = (1u << ledger::kKindCount) - 1;
inline constexpr uint32_t kDefaultKinds = 0
#define KIND(name, number, noun, by_default, recorded, news) | uint32_t{by_default} << number
#include "ledger/kinds.inc"
#undef KIND
    ;

/// "3,5-7"
struct NumberRange {
  int first = 0;
  int last = 0;
};
struct NumberRanges {
  static constexpr size_t kMost = 32;
  NumberRange ranges[kMost];
  size_t count = 0;
};

struct Settings {
  std::string_view output = kDefaultOutput;
  uint32_t kinds = kDefaultKinds;
  std::string_view only;  ///< UNFREED_ONLY: shell patterns, comma separated; empty: all programs
  /// UNFREED_ALLOW_UNTRACKED: likewise; programs that need not be tracked.
  std::string_view allow_untracked;
  std::string_view rules_text;
  RuleSet rules;
  int exit_code = kDefaultExitCode;
  int report_signal = 12;  ///< SIGUSR2; 0: off
  uint32_t depth = kDefaultDepth;
  uint64_t sample_bytes = 0;      ///< 0: every heap block is tracked
  std::string_view suppressions;  ///< files, ':'-separated
  NumberRanges inheritable;       ///< descriptor numbers that may go along into other programs
  bool quiet = false;
  bool force = false;  ///< a report may replace any file
  bool disabled = false;
};

/// A value that could not be read.
struct SettingError {
  std::string_view variable;  ///< "UNFREED_DEPTH"
  std::string_view value;
  const char* accepted;  ///< static: "a number from 1 to 512"
  ParseError detail;     ///< for UNFREED_FAIL_ON: where in the rules
  bool fatal;            ///< UNFREED_FAIL_ON and UNFREED_EXITCODE: the run must end with 125
};

inline constexpr size_t kMaxSettingErrors = 16;

/// Reads one variable ("UNFREED_DEPTH", "40") into `settings`. True: fine, or no variable of ours. False: `error` is
/// filled in and the setting keeps its value.
bool apply_setting(std::string_view variable, std::string_view value, Settings& settings, SettingError& error);

/// Reads all UNFREED_* of a NULL-terminated environment. Returns the number of errors written to `errors`.
/// Also an error (fatal): a rule about a kind that UNFREED_TRACK leaves out.
size_t read_settings(const char* const* environment, Settings& settings, std::span<SettingError> errors);

/// Writes the one line a user sees for `error` (without newline) to `out`; returns its length (cut to fit):
///     UNFREED_DEPTH=ten: not understood; accepted: a number from 1 to 512
size_t describe(const SettingError& error, std::span<char> out);

/// Is a program of this base name to be tracked under UNFREED_ONLY?
bool is_wanted(const Settings& settings, std::string_view program_name);

/// May this program, by its name or its whole path, go untracked under UNFREED_ALLOW_UNTRACKED?
bool is_untracked_allowed(std::string_view patterns, std::string_view program);

/// Why a name that is not absolute cannot be used: it would mean another place than its user's.
inline constexpr const char* kWithoutFolder = "the working directory at the start was not known (it had been deleted?)";

/// An output template made absolute: where it is relative, under `directory` (whose '%' mean themselves). "-" (standard
/// output) stays as it is, and so does all where `directory` is "".
void add_absolute_output(base::TextBuilder& out, std::string_view pattern, std::string_view directory);

/// Puts the relative ones among ':'-separated file names under `directory`; "": they stay as they are.
void add_absolute_files(base::TextBuilder& out, std::string_view files, std::string_view directory);

/// Expands %p %e %n %% of an output template to an absolute path (relative ones are put under `directory`), or "-".
/// Returns the length, or 0 if it does not fit. An unknown % is kept as written.
size_t expand_output(std::string_view pattern, std::string_view directory, std::string_view program_name, int pid,
                     uint32_t report_number, std::span<char> out);

/// Does a template give every process a name of its own?
bool has_pid(std::string_view pattern);

}  // namespace unfreed::report
