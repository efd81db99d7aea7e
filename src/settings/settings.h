// The UNFREED_* variables: one parser for the runtime (which reads its environment) and the command (whose options
// mirror them). Allocation-free; text values point into the environment given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/text.h"
#include "settings/exit_statuses.h"
#include "settings/output_name.h"
#include "settings/rules.h"
#include "settings/values.h"

namespace unfreed::report {

inline constexpr int kDefaultExitCode = exit_status::rule_broken;
inline constexpr int kDefaultSignal = 12;  ///< SIGUSR2
inline constexpr uint32_t kDefaultDepth = 128;
inline constexpr uint32_t kMaxDepth = 512;
inline constexpr uint64_t kMaxSampleBytes = 1u << 30;
/// Who needs a setting: see settings.inc.
enum class SettingUse : uint8_t { process, report, evaluation };
inline constexpr size_t kSettingCount = 0
#define SETTING(type, member, by_default, variable, option, value, joined, required, used_by, read, accepted, \
                completes, help, more)                                                                        \
  +1
#include "settings/settings.inc"
#undef SETTING
    ;

struct Settings {
#define SETTING(type, member, by_default, variable, option, value, joined, required, used_by, read, accepted, \
                completes, help, more)                                                                        \
  type member = by_default;
#include "settings/settings.inc"
#undef SETTING
  /// The values as they were given, by row; "" for one that was not.
  std::array<std::string_view, kSettingCount> given = {};
};
inline constexpr Settings kDefaultSettings{};

/// A row of settings.inc, without the member that receives its value.
struct SettingRow {
  std::string_view variable;  ///< "UNFREED_DEPTH"
  const char* option;         ///< "-o,--output"; "" none
  const char* value;          ///< "FILE"; "" a switch
  char joined_by;
  SettingUse used_by;
  const char* completes;
  const char* help;
  const char* more;
};
/// All settings.
std::span<const SettingRow> setting_rows();
/// The long name of its option, without dashes: "output"; "" where it has none. A C string ends with it.
std::string_view option_name(const SettingRow& row);

/// A value that could not be read.
struct SettingError {
  std::string_view variable;  ///< "UNFREED_DEPTH"
  std::string_view value;
  const char* accepted;         ///< static: "a number from 1 to 512"
  ParseError detail;            ///< for UNFREED_FAIL_ON: where in the rules
  bool fatal;                   ///< the run must end with 125
  std::string_view meant = {};  ///< the variable that somebody may have meant by one that is none; "" else
};

inline constexpr size_t kMaxSettingErrors = 16;

/// Reads one variable ("UNFREED_DEPTH", "40") into `settings`. True: it is valid, or not one of ours. False: `error` is
/// filled in and the setting keeps its value.
bool apply_setting(std::string_view variable, std::string_view value, Settings& settings, SettingError& error);

/// Reads all UNFREED_* of a NULL-terminated environment. Returns the number of errors written to `errors`.
/// Also errors: a rule about a kind that UNFREED_TRACK leaves out (fatal), and a name that is nearly a variable's.
size_t read_settings(const char* const* environment, Settings& settings, std::span<SettingError> errors);

/// The settings that an evaluation uses, as given, for a ledger to keep.
void add_evaluation_settings(base::TextBuilder& out, const Settings& settings);
/// Reads them again; `settings` keeps what they do not name. Texts point into `kept`. What cannot be read is left out.
void read_evaluation_settings(std::string_view kept, Settings& settings);
/// Sets in `settings` what was given in `given`.
void prefer_given(const Settings& given, Settings& settings);

/// Writes the one line a user sees for `error` (without newline) to `out`; returns its length (cut to fit):
///     UNFREED_DEPTH=ten: invalid; expected a number from 1 to 512
///     unknown variable UNFREED_FAILON; did you mean UNFREED_FAIL_ON?
size_t describe(const SettingError& error, std::span<char> out);

/// Is a program with this base name tracked under UNFREED_ONLY?
bool is_wanted(const Settings& settings, std::string_view program_name);

}  // namespace unfreed::report
