#include "ledger/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::ledger {

using base::is_error;
using base::raw_syscall;

namespace {

long text_argument(const char* text) { return reinterpret_cast<long>(text); }

long close_and_fail(long file, long error) {
  base::close_file(file);
  return error;
}

}  // namespace

long open_folder(long directory, const char* name, unsigned user, bool is_for_others) {
  long folder =
      raw_syscall(SYS_openat, directory, text_argument(name), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (is_error(folder)) return folder;
  struct stat status {};
  long result = raw_syscall(SYS_fstat, folder, reinterpret_cast<long>(&status));
  if (is_error(result)) return close_and_fail(folder, result);
  bool is_open_to_others = status.st_mode & (S_IWGRP | S_IWOTH);
  if (status.st_uid != user || (is_open_to_others && !is_for_others)) return close_and_fail(folder, -EPERM);
  return folder;
}

long open_own_file(long folder, const char* name, unsigned user, int flags, struct stat& status) {
  long file =
      raw_syscall(SYS_openat, folder, text_argument(name), flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
  if (is_error(file)) return file;
  long result = raw_syscall(SYS_fstat, file, reinterpret_cast<long>(&status));
  if (is_error(result)) return close_and_fail(file, result);
  if (!S_ISREG(status.st_mode) || status.st_uid != user) return close_and_fail(file, -EPERM);
  return file;
}

uint64_t own_pid_namespace() {
  struct stat status {};
  long result =
      raw_syscall(SYS_newfstatat, AT_FDCWD, text_argument("/proc/self/ns/pid"), reinterpret_cast<long>(&status), 0);
  return is_error(result) ? 0 : status.st_ino;
}

uint64_t boot_number() {
  char text[40];
  long size = base::read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
  uint64_t number = 0;
  for (long at = 0, digits = 0; at < size && digits < 16; ++at) {
    if (text[at] == '-') continue;
    auto value = static_cast<uint64_t>(text[at] <= '9' ? text[at] - '0' : (text[at] | 0x20) - 'a' + 10);
    number = number << 4 | (value & 15);
    ++digits;
  }
  return number;
}

uint64_t boottime_ns() {
  timespec now{};
  raw_syscall(SYS_clock_gettime, CLOCK_BOOTTIME, reinterpret_cast<long>(&now));
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

bool is_running(int pid, uint64_t seen_boottime_ns) {
  if (pid <= 0) return false;
  base::FixedText<32> path;
  base::ProcessStat stat = base::read_process_stat(path.add("/proc/").add_signed(pid).add("/stat").c_str());
  if (!stat.is_known) {
    // No such process, or no /proc to ask.
    constexpr int kMayRead = 4;
    bool has_proc = !is_error(raw_syscall(SYS_faccessat, AT_FDCWD, text_argument("/proc/self/stat"), kMayRead));
    long result = has_proc ? -ESRCH : raw_syscall(SYS_kill, pid, 0);
    return result == 0 || result == -EPERM;
  }
  // A main thread that has ended by itself is a zombie as long as there are others.
  if (stat.state == 'X' || (stat.state == 'Z' && stat.threads <= 1)) return false;
  constexpr uint64_t kTickNs = 1'000'000'000 / 100;  // USER_HZ, whatever the kernel's own
  return seen_boottime_ns == 0 || stat.start_ticks * kTickNs <= seen_boottime_ns;
}

bool is_in_memory(long file) {
  constexpr long kTmpfs = 0x01021994;
  struct statfs status {};
  return !is_error(raw_syscall(SYS_fstatfs, file, reinterpret_cast<long>(&status))) && status.f_type == kTmpfs;
}

bool may_be_mapped(long file) {
  // A lease for reading is refused while a file is open, or mapped, for writing. Other file systems (overlayfs) may map
  // a file other than the one that was asked about.
  if (!is_in_memory(file)) return true;
  // If somebody opens it at this moment, the kernel sends this process a signal: choose one that does nothing.
  raw_syscall(SYS_fcntl, file, F_SETSIG, SIGWINCH);
  if (is_error(raw_syscall(SYS_fcntl, file, F_SETLEASE, F_RDLCK))) return true;
  raw_syscall(SYS_fcntl, file, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace unfreed::ledger
