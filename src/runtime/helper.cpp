#include "runtime/helper.h"

#include <unistd.h>

#include <string_view>

#include "base/syscall.h"
#include "base/text.h"
#include "runtime/child_process.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/preload.h"
#include "runtime/runtime.h"

namespace unfreed::runtime {

using base::raw_syscall;

namespace {

/// Debug information may be large. The process waits for this at its end, and its report is written already.
constexpr int kMostMilliseconds = 20'000;

constexpr size_t kDashes = 2;  // in front of an option's long name

bool is_executable(const char* path) {
  constexpr int kMayExecute = 1;
  return raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(path), kMayExecute) == 0;
}

/// As the environment named it at the start, or next to the library, where an installation or a build puts it.
const char* find_command() {
  if (g_runtime.helper_path[0]) return g_runtime.helper_path;
  std::string_view directory = library_folder();
  for (const char* candidate :
       {"unfreed", "../cli/unfreed", "../bin/unfreed", "../../bin/unfreed", "../../../bin/unfreed"}) {
    base::TextBuilder path(g_runtime.helper_path);
    path.add(directory).add(candidate);
    if (!path.cut() && is_executable(path.c_str())) return path.c_str();
  }
  return nullptr;
}

/// The process's environment without what would make the command track itself.
void copy_environment(const char** out, size_t capacity) {
  size_t count = 0;
  for (char** entry = environ; entry && *entry && count + 1 < capacity; ++entry) {
    std::string_view text(*entry);
    if (!text.starts_with("LD_") && !text.starts_with("UNFREED_")) out[count++] = *entry;
  }
  out[count] = nullptr;
}

}  // namespace

bool finish_with_command(uint32_t report_number, bool may_speak, report::Answer& answer) {
  const char* command = g_runtime.ledger_path[0] ? find_command() : nullptr;
  if (!command) return false;
  constexpr size_t kMostEntries = 4096;
  static const char* environment[kMostEntries];
  copy_environment(environment, kMostEntries);
  base::FixedText<32> number;
  base::FixedText<64> file;
  base::FixedText<300> program;
  number.add_number(report_number);
  file.add_signed(g_runtime.pid).add(':').add_number(g_runtime.ledger_identity.device);
  file.add(':').add_number(g_runtime.ledger_identity.inode);
  program.add("--program=").add(g_settings.program);
  constexpr size_t kOtherArguments = 16;
  const char* arguments[2 * report::kSettingCount + kOtherArguments] = {
      command, "finish", "--report-number", number.c_str(), "--ledger-is", file.c_str(), program.c_str()};
  size_t count = 7;
  for (size_t row = 0; row < report::kSettingCount; ++row) {
    const report::SettingRow& setting = report::setting_rows()[row];
    std::string_view given = g_settings.given[row];
    if (setting.used_by == report::SettingUse::process || given.empty() || (!*setting.value && given != "1")) continue;
    arguments[count++] = report::option_name(setting).data() - kDashes;
    if (*setting.value) arguments[count++] = given.data();
  }
  if (!may_speak) arguments[count++] = "--silent";
  arguments[count++] = "--";
  arguments[count++] = g_runtime.ledger_path;
  long pid = start_program({command, arguments, environment, may_speak && is_stderr_unchanged()});
  return !base::is_error(pid) && report::from_status(wait_for(pid, kMostMilliseconds), answer);
}

}  // namespace unfreed::runtime
