#include "runtime/helper.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <string_view>

#include "base/passing_memory.h"
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

/// Reading large debug information takes time. The process waits at its end, and its report is written already.
constexpr int kMostMilliseconds = 20'000;

/// How long the command may take to end when it has written its answer.
constexpr int kToEndMilliseconds = 1'000;

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

/// The command line of `unfreed finish`: what the process says about its report, and where its ledger is.
class FinishLine {
 public:
  explicit FinishLine(const char* command) {
    file_.add_signed(g_runtime.pid).add(':').add_number(g_runtime.ledger_identity.device);
    file_.add(':').add_number(g_runtime.ledger_identity.inode);
    program_.add("--program=").add(g_settings.program);
    for (const char* word : {command, "finish", "--ledger-is", file_.c_str(), program_.c_str()}) add(word);
    for (size_t row = 0; row < report::kSettingCount; ++row) {
      const report::SettingRow& setting = report::setting_rows()[row];
      std::string_view given = g_settings.given[row];
      if (setting.used_by == report::SettingUse::process || given.empty() || (!*setting.value && given != "1"))
        continue;
      add(report::option_name(setting).data() - kDashes);
      if (*setting.value) add(given.data());
    }
  }
  FinishLine(const FinishLine&) = delete;
  FinishLine& operator=(const FinishLine&) = delete;

  /// `word` must outlive this.
  void add(const char* word) { arguments_[count_++] = word; }

  /// Starts it. Returns its pid, or −errno.
  long start(bool keeps_stderr) {
    constexpr size_t kMostEntries = 4096;
    base::PassingMemory memory(kMostEntries * sizeof(const char*));
    auto* environment = static_cast<const char**>(memory.start());
    if (!environment) return -ENOMEM;
    copy_environment(environment, kMostEntries);
    add("--");
    add(g_runtime.ledger_path);
    return start_program({arguments_[0], arguments_, environment, keeps_stderr});
  }

 private:
  static constexpr size_t kOtherArguments = 16;
  const char* arguments_[2 * report::kSettingCount + kOtherArguments] = {};
  size_t count_ = 0;
  base::FixedText<64> file_;
  base::FixedText<300> program_;
};

/// nullptr: there is none, or it cannot read this process's ledger.
const char* find_command_for_ledger() { return g_runtime.ledger_path[0] ? find_command() : nullptr; }

/// Where the process has closed standard descriptors, new ones have their numbers: gives `fd` another.
bool move_from_standard(int& fd) {
  constexpr long kFirstOther = 3;
  if (fd >= kFirstOther) return true;
  long moved = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kFirstOther);
  if (base::is_error(moved)) return false;
  base::close_file(fd);
  fd = static_cast<int>(moved);
  return true;
}

/// Reads until `fd` ends. False: not in time.
bool read_all(long fd, base::TextBuilder& out, int milliseconds) {
  uint64_t deadline = base::monotonic_ns() + static_cast<uint64_t>(milliseconds) * 1'000'000;
  static char piece[16 * 1024];
  for (;;) {
    uint64_t now = base::monotonic_ns();
    if (now >= deadline) return false;
    pollfd waiting{static_cast<int>(fd), POLLIN, 0};
    uint64_t left_ns = deadline - now;
    timespec left{static_cast<time_t>(left_ns / 1'000'000'000), static_cast<long>(left_ns % 1'000'000'000)};
    raw_syscall(SYS_ppoll, reinterpret_cast<long>(&waiting), 1, reinterpret_cast<long>(&left), 0, 0);
    if (!waiting.revents) continue;
    long bytes = raw_syscall(SYS_read, fd, reinterpret_cast<long>(piece), sizeof piece);
    if (bytes == -EINTR) continue;
    if (bytes <= 0) return bytes == 0;
    out.add({piece, static_cast<size_t>(bytes)});
  }
}

}  // namespace

bool finish_with_command(uint32_t report_number, bool may_speak, report::Answer& answer) {
  const char* command = find_command_for_ledger();
  if (!command) return false;
  FinishLine line(command);
  base::FixedText<32> number;
  number.add_number(report_number);
  line.add("--report-number");
  line.add(number.c_str());
  if (!may_speak) line.add("--silent");
  long pid = line.start(may_speak && is_stderr_unchanged());
  return !base::is_error(pid) && report::from_status(wait_for(pid, kMostMilliseconds), answer);
}

bool describe_with_command(const char* held_sites, base::TextBuilder& out, int milliseconds) {
  const char* command = find_command_for_ledger();
  int ends[2];
  if (!command || base::is_error(raw_syscall(SYS_pipe2, reinterpret_cast<long>(ends), O_CLOEXEC))) return false;
  constexpr long kStandardOutput = 1;
  for (int& end : ends)
    if (!move_from_standard(end)) return false;
  raw_syscall(SYS_dup3, ends[1], kStandardOutput, 0);
  base::close_file(ends[1]);
  FinishLine line(command);
  line.add("--held-sites");
  line.add(held_sites);
  long pid = line.start(false);
  base::close_file(kStandardOutput);
  if (base::is_error(pid)) return false;
  bool is_whole = read_all(ends[0], out, milliseconds);
  return wait_for(pid, is_whole ? kToEndMilliseconds : 0) == 0 && is_whole && out.size() != 0 && !out.cut();
}

}  // namespace unfreed::runtime
