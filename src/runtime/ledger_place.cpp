#include "runtime/ledger_place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <cstring>

#include "base/syscall.h"
#include "base/text.h"
#include "ledger/file_names.h"
#include "ledger/layout.h"
#include "ledger/leftovers.h"
#include "ledger/ownership.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using ledger::FileName;
using ledger::Header;

namespace {

long text_argument(const char* text) { return reinterpret_cast<long>(text); }
unsigned own_user() { return static_cast<unsigned>(raw_syscall(SYS_geteuid)); }

/// The folder that this process's ledger goes to.
struct Folder {
  ~Folder() {
    if (!is_error(fd)) base::close_file(fd);
  }
  long fd = -1;  ///< O_PATH, or −errno
  base::FixedText<352> path;
};

/// The run's folder if it is this user's; else, if it is root's, the one in there for others.
void open_run_folder(const LedgerPlace& place, Folder& out) {
  if (!place.run[0]) return;
  out.path.add(place.directory).add('/').add(place.run);
  long run = ledger::open_folder(AT_FDCWD, out.path.c_str(), own_user());
  if (run == -EPERM && place.others[0]) run = ledger::open_folder(AT_FDCWD, out.path.c_str(), 0);
  if (is_error(run)) return;
  out.fd = run;
  struct stat status {};
  raw_syscall(SYS_fstat, run, reinterpret_cast<long>(&status));
  if (status.st_uid == own_user()) return;
  out.path.add('/').add(place.others);
  out.fd = ledger::open_folder(run, place.others, 0, true);
  base::close_file(run);
}

/// No other process can know it beforehand. Not 0.
uint64_t random_number() {
  constexpr long kNonBlocking = 1;
  uint64_t number = 0;
  if (raw_syscall(SYS_getrandom, reinterpret_cast<long>(&number), sizeof number, kNonBlocking) != sizeof number) {
    if (auto* given = reinterpret_cast<const char*>(getauxval(AT_RANDOM))) std::memcpy(&number, given, sizeof number);
    number ^= base::monotonic_ns() * 0x9e3779b97f4a7c15;
  }
  return number ? number : 1;
}

void open_user_folder(const LedgerPlace& place, uint64_t random, Folder& out) {
  out.path.add(place.directory).add('/');
  ledger::add_folder_name(out.path, own_user(), random);
  bool is_new = raw_syscall(SYS_mkdirat, AT_FDCWD, text_argument(out.path.c_str()), 0700) == 0;
  out.fd = ledger::open_folder(AT_FDCWD, out.path.c_str(), own_user());
  if (!is_new || is_error(out.fd)) return;
  // The mode, whatever the program's umask is; of this very folder, not of what may have its name by now.
  base::FixedText<32> opened;
  opened.add("/proc/self/fd/").add_signed(out.fd);
  raw_syscall(SYS_fchmodat, AT_FDCWD, text_argument(opened.c_str()), 0700);
}

bool is_taken(long error) { return error == -EPERM || error == -ENOTDIR || error == -ELOOP; }

/// Another user has taken the name of the user's folder. All processes choose the same one of the user's others, so
/// that later ones remove what earlier ones have left there.
void open_other_folder(const LedgerPlace& place, Folder& out) {
  out.path.add(place.directory).add('/');
  if (ledger::find_other_folder(place.directory, own_user(), out.path))
    out.fd = ledger::open_folder(AT_FDCWD, out.path.c_str(), own_user());
}

/// Of an image of this process that has called exec: a process with this number that was there when the file was made.
bool is_own_earlier(long folder, const char* name, const FileName& parts) {
  static Header header;  // used by one thread at a time (start, fork)
  struct stat status {};
  long file = ledger::open_own_file(folder, name, own_user(), O_RDONLY, status);
  if (is_error(file)) return false;
  long size = raw_syscall(SYS_pread64, file, reinterpret_cast<long>(&header), sizeof header, 0);
  base::close_file(file);
  if (size != sizeof header || std::memcmp(header.magic, ledger::kMagic, sizeof header.magic) != 0) return false;
  auto state = static_cast<ledger::State>(header.state.load(std::memory_order_relaxed));
  // It has ended normally, and its report is being made: only its exit handlers called exec.
  if (state == ledger::State::ended) return false;
  if (!parts.pid_namespace) return state == ledger::State::replaced;  // without /proc nobody knows
  return header.pid == parts.pid && ledger::is_running(parts.pid, header.created_boottime_ns);
}

/// Opens the first name of this process that is free in the folder. A name that is taken is that of an image before
/// this one, or of a process whose number has come round again.
long create_file(const Folder& folder, FileName& name, base::TextBuilder& path) {
  constexpr uint32_t kMostImages = 4096;
  constexpr long kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  for (name.image = 0; name.image < kMostImages; ++name.image) {
    base::FixedText<64> text;
    ledger::add_file_name(text, name);
    long fd = raw_syscall(SYS_openat, folder.fd, text_argument(text.c_str()), kNew, 0600);
    if (fd == -EEXIST && is_own_earlier(folder.fd, text.c_str(), name)) {
      raw_syscall(SYS_unlinkat, folder.fd, text_argument(text.c_str()), 0);
      fd = raw_syscall(SYS_openat, folder.fd, text_argument(text.c_str()), kNew, 0600);
    }
    if (fd == -EEXIST) continue;
    if (!is_error(fd)) path.add(folder.path.text()).add('/').add(text.text());
    return fd;
  }
  return -EEXIST;
}

/// Tries to create the file in each folder in turn.
long create_somewhere(const LedgerPlace& place, FileName& name, base::TextBuilder& path, bool& is_launchers) {
  is_launchers = false;
  Folder run;
  open_run_folder(place, run);
  if (!is_error(run.fd)) {
    long file = create_file(run, name, path);
    is_launchers = file != -ENOENT;  // else the launcher has removed the folder
    if (is_launchers) return file;
  }
  // The last process that leaves a folder removes it, perhaps just now.
  constexpr int kMostAttempts = 16;
  long result = -ENOENT;
  for (int attempt = 0; result == -ENOENT && attempt < kMostAttempts; ++attempt) {
    Folder folder;
    open_user_folder(place, 0, folder);
    result = is_error(folder.fd) ? folder.fd : create_file(folder, name, path);
  }
  if (!is_taken(result)) return result;
  Folder other;
  open_other_folder(place, other);
  long file = is_error(other.fd) ? other.fd : create_file(other, name, path);
  if (!is_error(file)) return file;
  Folder own;
  open_user_folder(place, random_number(), own);
  return is_error(own.fd) ? own.fd : create_file(own, name, path);
}

/// Cuts the last part off a path.
bool go_up(char* path) {
  char* slash = std::strrchr(path, '/');
  if (!slash || slash == path) return false;
  *slash = '\0';
  return true;
}

bool is_own_folder(const char* path) {
  std::string_view name = base::base_name(path);
  return ledger::is_folder_name(name, own_user()) || name.starts_with(ledger::kOthersPrefix);
}

bool is_part(std::string_view text) { return !text.empty() && text.find('/') == text.npos && text.front() != '.'; }

}  // namespace

void read_place(std::string_view directory, std::string_view run, LedgerPlace& out) {
  base::TextBuilder(out.directory).add(directory.empty() ? "/dev/shm" : directory);
  std::string_view folder = base::slice(run, 0, run.find('/'));
  std::string_view others = base::slice(run, folder.size() + 1);
  base::TextBuilder(out.run).add(is_part(folder) && folder.size() < sizeof out.run ? folder : "");
  base::TextBuilder(out.others).add(is_part(others) && others.size() < sizeof out.others ? others : "");
}

NewFile make_ledger_file(const LedgerPlace& place, int pid, std::span<char> path) {
  NewFile made;
  FileName name;
  name.pid = pid;
  name.pid_namespace = made.pid_namespace = ledger::own_pid_namespace();
  name.is_library = place.is_library_part;
  base::TextBuilder text(path);
  made.fd = create_somewhere(place, name, text, made.identity.is_launchers);
  if (is_error(made.fd)) return made;
  struct stat status {};
  raw_syscall(SYS_fstat, made.fd, reinterpret_cast<long>(&status));
  made.identity.device = status.st_dev;
  made.identity.inode = status.st_ino;
  if (!ledger::is_in_memory(made.fd)) made.boot = ledger::boot_number();
  constexpr mode_t kPrivate = S_IRUSR | S_IWUSR;
  if ((status.st_mode & 07777) != kPrivate) raw_syscall(SYS_fchmod, made.fd, kPrivate);
  return made;
}

bool launcher_takes_ledgers(const LedgerPlace& place) {
  if (!place.run[0]) return false;
  base::FixedText<352> file;
  file.add(place.directory).add('/').add(place.run).add('/').add(ledger::kLauncherFile);
  return !is_error(raw_syscall(SYS_faccessat, AT_FDCWD, text_argument(file.c_str()), 0));
}

void remove_replaced_ledger(const LedgerPlace& place, int pid) {
  if (launcher_takes_ledgers(place)) return;  // the launcher wants to know that there was one
  base::FixedText<64> text;
  FileName name;
  name.pid = pid;
  name.pid_namespace = ledger::own_pid_namespace();
  ledger::add_file_name(text, name);
  auto remove_from = [&](Folder& folder) {
    if (is_error(folder.fd) || !is_own_earlier(folder.fd, text.c_str(), name)) return;
    folder.path.add('/').add(text.text());
    remove_ledger_file(folder.path.c_str());
  };
  Folder own, other;
  own.path.add(place.directory).add('/');
  ledger::add_folder_name(own.path, own_user());
  own.fd = ledger::open_folder(AT_FDCWD, own.path.c_str(), own_user());
  if (is_taken(own.fd)) open_other_folder(place, other);
  remove_from(is_taken(own.fd) ? other : own);
}

void rename_to_done(const char* path) {
  FileName name;
  std::string_view file = base::base_name(path);
  if (!ledger::parse_file_name(file, name)) return;
  name.done = true;
  std::string_view folder(path, static_cast<size_t>(file.data() - path));
  constexpr int kMostAttempts = 16;
  long result = -EEXIST;
  // The name may be that of an earlier process with this number, whose ledger has not been read yet.
  for (int attempt = 0; result == -EEXIST && attempt < kMostAttempts; ++attempt, ++name.image) {
    base::FixedText<400> done;
    done.add(folder);
    ledger::add_file_name(done, name);
    result = raw_syscall(SYS_renameat2, AT_FDCWD, text_argument(path), AT_FDCWD, text_argument(done.c_str()),
                         RENAME_NOREPLACE);
  }
}

void remove_ledger_file(const char* path) {
  long result = raw_syscall(SYS_unlinkat, AT_FDCWD, text_argument(path), 0);
  // A signal handler that ends the process may have come between the file's end and the folder's.
  if (is_error(result) && result != -ENOENT) return;
  base::FixedText<400> folder;
  folder.add(path);
  // It stays if it is not empty, and so does what another user owns.
  char* text = const_cast<char*>(folder.c_str());
  while (go_up(text) && is_own_folder(text) &&
         !is_error(raw_syscall(SYS_unlinkat, AT_FDCWD, text_argument(text), AT_REMOVEDIR))) {
  }
}

void remove_leftover_ledgers(const char* path, int parent) {
  Folder folder;
  folder.path.add(path);
  char* text = const_cast<char*>(folder.path.c_str());
  if (!go_up(text)) return;
  folder.fd = ledger::open_folder(AT_FDCWD, text, own_user());
  if (is_error(folder.fd)) return;
  // One process of a tree is enough: the first, whose parent has no ledger.
  FileName own, name;
  if (!ledger::parse_file_name(base::base_name(path), own)) return;
  name.pid = parent;
  name.pid_namespace = own.pid_namespace;
  base::FixedText<64> parents;
  ledger::add_file_name(parents, name);
  if (is_error(raw_syscall(SYS_faccessat, folder.fd, text_argument(parents.c_str()), 0)))
    ledger::remove_leftovers(folder.fd, own_user());
}

bool is_run_out_of_reach(const LedgerPlace& place, int launcher_pid) {
  if (!place.run[0] || !launcher_pid) return false;
  base::FixedText<352> path;
  path.add(place.directory).add('/').add(place.run);
  return is_error(raw_syscall(SYS_faccessat, AT_FDCWD, text_argument(path.c_str()), 0)) &&
         is_launcher_alive(place, launcher_pid);
}

bool is_launcher_alive(const LedgerPlace& place, int launcher_pid) {
  base::FixedText<352> path;
  path.add(place.directory).add('/').add(place.run);
  long folder = raw_syscall(SYS_openat, AT_FDCWD, text_argument(path.c_str()), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  ledger::Launcher launcher = ledger::Launcher::unknown;
  if (!is_error(folder)) {
    launcher = ledger::find_launcher(folder);
    base::close_file(folder);
  }
  if (launcher != ledger::Launcher::unknown) return launcher == ledger::Launcher::there;
  // In a chroot, or another user's by now.
  long result = raw_syscall(SYS_kill, launcher_pid, 0);
  return result == 0 || result == -EPERM;
}

}  // namespace unfreed::runtime
