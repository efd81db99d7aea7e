#include "ledger/leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cstring>
#include <string_view>

#include "base/syscall.h"
#include "ledger/entries.h"
#include "ledger/file_names.h"
#include "ledger/layout.h"
#include "ledger/ownership.h"

namespace unfreed::ledger {

using base::is_error;
using base::raw_syscall;

namespace {

long text_argument(const char* text) { return reinterpret_cast<long>(text); }

void remove_file(long folder, const char* name) { raw_syscall(SYS_unlinkat, folder, text_argument(name), 0); }

constexpr unsigned kAnyone = UINT32_MAX;

unsigned owner_of(long folder, const char* name) {
  struct stat status {};
  long result =
      raw_syscall(SYS_newfstatat, folder, text_argument(name), reinterpret_cast<long>(&status), AT_SYMLINK_NOFOLLOW);
  return is_error(result) ? kAnyone : status.st_uid;
}

enum class Search : uint8_t {
  quick,     ///< a runtime's, in its host's time: the first few dozen names, of this pid namespace only
  thorough,  ///< a command's
};

/// Those that are kept for a while.
struct Kept {
  size_t count = 0;
  uint64_t oldest_ns = UINT64_MAX;
  char oldest[64] = "";
};

class Sweep {
 public:
  /// `user` kAnyone: of a folder for others.
  Sweep(long folder, unsigned user, Search search, Retention retention)
      : folder_(folder), user_(user), search_(search), retention_(retention), namespace_(own_pid_namespace()) {
    timespec now{};
    raw_syscall(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<long>(&now));
    now_s_ = static_cast<uint64_t>(now.tv_sec);
  }

  Kept run() {
    Kept kept;
    each_entry(folder_, ".", search_ == Search::thorough, [&](const char* name) { look_at(name, kept); });
    return kept;
  }

 private:
  void look_at(const char* text, Kept& kept) {
    FileName name;
    if (!parse_file_name(text, name)) return;
    bool is_of_here = name.pid_namespace == namespace_ && namespace_;
    // The cheapest check first: no process has the number.
    if (is_of_here && raw_syscall(SYS_kill, name.pid, 0) != -ESRCH && search_ == Search::quick) return;
    if (!is_of_here && search_ == Search::quick) return;
    struct stat status {};
    unsigned user = user_ == kAnyone ? owner_of(folder_, text) : user_;
    long file = open_own_file(folder_, text, user, O_RDONLY, status);
    if (is_error(file)) return;
    Header header;
    bool has_header =
        raw_syscall(SYS_pread64, file, reinterpret_cast<long>(&header), sizeof header, 0) == sizeof header;
    bool is_begun = has_header && std::memcmp(header.magic, kMagic, sizeof kMagic) == 0;
    if (is_over(name, is_of_here, file, is_begun ? &header : nullptr)) {
      if (!is_begun || !is_evidence(header))
        remove_file(folder_, text);
      else
        keep_or_remove(file, text, status, kept);
    }
    base::close_file(file);
  }

  /// `header`: nullptr where it is not begun.
  bool is_over(const FileName& name, bool is_of_here, long file, const Header* header) const {
    bool is_of_another_boot = header && header->boot && header->boot != boot_number();
    if (is_of_another_boot) return true;
    if (is_of_here && !is_running(name.pid, header ? header->created_boottime_ns : 0)) return true;
    // Of a process that runs on there may be one that an image before it has left, which nobody has mapped.
    return !may_be_mapped(file);
  }

  static bool is_evidence(const Header& header) {
    // Its tracer was killed; nothing has happened to the process, which can be attached to again, as what it started.
    if (header.flags.load(std::memory_order_relaxed) & kHeaderFlagOfAttachment) return false;
    uint32_t state = header.state.load(std::memory_order_relaxed);
    bool has_something = state == static_cast<uint32_t>(State::live) || state == static_cast<uint32_t>(State::ended);
    return has_something && !header.is_reported.load(std::memory_order_relaxed);
  }

  /// Whoever first finds its process gone removes write permission: the kernel keeps the time of that change.
  void keep_or_remove(long file, const char* name, const struct stat& status, Kept& kept) {
    constexpr mode_t kFoundBefore = S_IRUSR;
    bool is_known = (status.st_mode & 07777) == kFoundBefore;
    auto found_s = static_cast<uint64_t>(status.st_ctim.tv_sec);
    if (is_known && now_s_ >= found_s && now_s_ - found_s >= retention_.seconds) return remove_file(folder_, name);
    if (!is_known) raw_syscall(SYS_fchmod, file, kFoundBefore);
    uint64_t found_ns = is_known ? found_s * 1'000'000'000 + static_cast<uint64_t>(status.st_ctim.tv_nsec) : UINT64_MAX;
    ++kept.count;
    if (found_ns > kept.oldest_ns || std::strlen(name) >= sizeof kept.oldest) return;
    kept.oldest_ns = found_ns;
    std::strcpy(kept.oldest, name);
  }

  long folder_;
  unsigned user_;
  Search search_;
  Retention retention_;
  uint64_t namespace_;
  uint64_t now_s_ = 0;
};

void sweep(long folder, unsigned user, Search search, Retention retention) {
  Kept kept = Sweep(folder, user, search, retention).run();
  while (kept.count > retention.most && kept.oldest[0]) {
    remove_file(folder, kept.oldest);
    if (search == Search::quick) return;  // who comes next removes the next
    kept = Sweep(folder, user, search, retention).run();
  }
}

void remove_folder(long directory, const char* name) {
  raw_syscall(SYS_unlinkat, directory, text_argument(name), AT_REMOVEDIR);
}

/// The folder of a run that is over, or of processes without a launcher.
void sweep_folder(long directory, const char* name, unsigned user, Retention retention) {
  long folder = open_folder(directory, name, user);
  if (is_error(folder)) return;
  if (find_launcher(folder) == Launcher::gone) {
    remove_file(folder, kLauncherFile.data());
    remove_file(folder, kBoardFile.data());
    each_entry(folder, ".", true, [&](const char* entry) {
      long others =
          std::string_view(entry).starts_with(kOthersPrefix) ? open_folder(folder, entry, user, true) : -ENOENT;
      if (is_error(others)) return;
      sweep(others, kAnyone, Search::thorough, retention);
      base::close_file(others);
      remove_folder(folder, entry);
    });
    sweep(folder, user, Search::thorough, retention);
    remove_folder(directory, name);
  }
  base::close_file(folder);
}

}  // namespace

void remove_leftovers(long folder, unsigned user, Retention retention) {
  sweep(folder, user, Search::quick, retention);
}

void remove_leftover_folders(const char* directory, unsigned user, Retention retention) {
  long opened = raw_syscall(SYS_openat, AT_FDCWD, text_argument(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (is_error(opened)) return;
  each_entry(opened, ".", true, [&](const char* name) {
    if (is_folder_name(name, user)) sweep_folder(opened, name, user, retention);
  });
  base::close_file(opened);
}

bool find_other_folder(const char* directory, unsigned user, base::TextBuilder& name) {
  long opened = raw_syscall(SYS_openat, AT_FDCWD, text_argument(directory), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (is_error(opened)) return false;
  bool is_found = false;
  each_entry(opened, ".", true, [&](const char* text) {
    if (is_found || !is_folder_name(text, user)) return;
    long folder = open_folder(opened, text, user);
    if (is_error(folder)) return;
    is_found = raw_syscall(SYS_faccessat, folder, text_argument(kLauncherFile.data()), 0) == -ENOENT;
    base::close_file(folder);
    if (is_found) name.add(text);
  });
  base::close_file(opened);
  return is_found;
}

bool abandon_run(long folder, int command) {
  bool some_run = false;
  const uint64_t own_namespace = own_pid_namespace();
  remove_file(folder, kLauncherFile.data());
  remove_file(folder, kBoardFile.data());
  each_entry(folder, ".", true, [&](const char* text) {
    FileName name;
    if (!parse_file_name(text, name)) return;
    struct stat status {};
    long file = open_own_file(folder, text, owner_of(folder, text), O_RDWR, status);
    bool is_of_here = name.pid_namespace == own_namespace;
    bool is_over = name.done || is_error(file) || (is_of_here && (name.pid == command || !is_running(name.pid, 0)));
    uint32_t gone = 1;
    some_run |= !is_over;
    if (!is_over)
      raw_syscall(SYS_pwrite64, file, reinterpret_cast<long>(&gone), sizeof gone, offsetof(Header, launcher_gone));
    else
      remove_file(folder, text);
    if (!is_error(file)) base::close_file(file);
  });
  return some_run;
}

Launcher find_launcher(long folder) {
  long file = raw_syscall(SYS_openat, folder, text_argument(kLauncherFile.data()),
                          O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (file == -ENOENT) return Launcher::gone;
  if (is_error(file)) return Launcher::unknown;
  long result = raw_syscall(SYS_flock, file, LOCK_SH | LOCK_NB);
  base::close_file(file);
  return result == 0 ? Launcher::gone : result == -EWOULDBLOCK ? Launcher::there : Launcher::unknown;
}

}  // namespace unfreed::ledger
