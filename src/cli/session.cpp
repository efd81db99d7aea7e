#include "cli/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/scan.h"
#include "cli/command.h"
#include "cli/settings_input.h"
#include "cli/text_file.h"
#include "ledger/room.h"

namespace unfreed::cli {

namespace {

/// A small ledger's worth: with less, the first process already has none.
constexpr uint64_t kLeastRoomBytes = 256 << 10;
/// Of a file of /proc; an environment can be as large as the stack allows.
constexpr uint64_t kMostProcBytes = 64u << 20;

bool has_room(const std::string& directory) {
  struct statfs status {};
  if (access(directory.c_str(), W_OK | X_OK) != 0 || statfs(directory.c_str(), &status) != 0) return false;
  return ledger::leaves_room(status, kLeastRoomBytes);
}

bool is_usable(const std::string& directory) {
  struct stat status {};
  return stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         access(directory.c_str(), W_OK | X_OK) == 0;
}

std::string choose_directory() {
  const char* given = std::getenv("UNFREED_LEDGER_DIR");
  if (given && *given) {
    std::error_code gone;
    std::string absolute = std::filesystem::absolute(given, gone).string();  // CMD may change its folder
    if (!absolute.empty() && is_usable(absolute)) return absolute;
    complain(fmt::format("UNFREED_LEDGER_DIR={}: not a writable directory; the default is used", given));
  }
  std::string preferred(kDefaultLedgerDirectory);
  if (has_room(preferred)) return preferred;
  const char* temporary = std::getenv("TMPDIR");
  std::string other = temporary && *temporary == '/' ? temporary : "/tmp";
  return has_room(other) ? other : preferred;
}

/// The number given last to a process or thread; 0 where the kernel does not say.
int newest_number() {
  std::string text;
  std::string none;
  if (!read_regular_file("/proc/sys/kernel/ns_last_pid", kMostProcBytes, text, none)) return 0;
  return std::max(0, base::parse_id(base::trimmed(text)));
}

/// No process can know it beforehand. Not 0.
uint64_t random_number() {
  uint64_t number = 0;
  ssize_t got = getrandom(&number, sizeof number, 0);
  return got == sizeof number && number ? number : base::monotonic_ns();
}

/// With that mode, whatever the umask is.
bool make_directory(int directory, const std::string& name, mode_t mode) {
  mode_t mask = umask(0);
  int result = mkdirat(directory, name.c_str(), mode);
  umask(mask);
  return result == 0;
}

std::shared_ptr<LedgerFolder> opened(int directory, const std::string& name, const std::string& path, bool for_others) {
  base::UniqueFd fd(ledger::open_folder(directory, name.c_str(), geteuid(), for_others));
  return fd ? std::make_shared<LedgerFolder>(LedgerFolder{std::move(fd), path, for_others}) : nullptr;
}

}  // namespace

Session::Session() : directory_(choose_directory()) {
  base::FixedText<64> name;
  ledger::add_folder_name(name, geteuid(), random_number());
  name_ = name.text();
  // A process that becomes another user cannot make a ledger in root's folder.
  if (make_folder() && geteuid() == 0) make_folder_for_others();
}

/// The folder gets its name once it holds its launcher's lock: others remove a folder without a lock as left over.
bool Session::make_folder() {
  base::UniqueFd directory(base::open_file(directory_.c_str(), O_PATH | O_DIRECTORY));
  std::string unfinished = "." + name_;
  if (!directory || !make_directory(directory.get(), unfinished, geteuid() == 0 ? 0711 : 0700)) return false;
  auto folder = opened(directory.get(), unfinished, directory_ + "/" + name_, false);
  if (folder) {
    constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    lock_ = base::UniqueFd(openat(folder->fd.get(), ledger::kLauncherFile.data(), kNew, 0600));
  }
  bool is_made = folder && lock_ && flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 &&
                 renameat2(directory.get(), unfinished.c_str(), directory.get(), name_.c_str(), RENAME_NOREPLACE) == 0;
  if (!is_made) {
    if (folder) unlinkat(folder->fd.get(), ledger::kLauncherFile.data(), 0);
    unlinkat(directory.get(), unfinished.c_str(), AT_REMOVEDIR);
    return false;
  }
  run_path_ = folder->path;
  folders_.push_back(std::move(folder));
  return true;
}

/// Others may make files in it, if they know its name: that is in the environment of the run's own processes only.
void Session::make_folder_for_others() {
  base::FixedText<32> name;
  name.add(ledger::kOthersPrefix).add_hex(random_number(), 16);
  int run = folders_[0]->fd.get();
  if (!make_directory(run, name.c_str(), 01733)) return;
  auto folder = opened(run, name.c_str(), folders_[0]->path + "/" + name.c_str(), true);
  if (!folder) return;
  others_path_ = folder->path;
  folders_.push_back(std::move(folder));
  name_ += "/" + std::string(name.text());
}

Session::~Session() {
  stop_taking();
  remove_lone_library_parts(folders_);
  remove_folders();
}

void Session::remove_folders() {
  if (!others_path_.empty()) rmdir(others_path_.c_str());
  if (!run_path_.empty()) rmdir(run_path_.c_str());
}

std::vector<LedgerFile> Session::stop_taking() {
  if (!lock_) return {};
  unlinkat(folders_[0]->fd.get(), ledger::kLauncherFile.data(), 0);
  lock_.reset();
  std::vector<LedgerFile> files = ledgers();
  std::erase_if(files, [](const LedgerFile& file) { return file.name.done; });
  for (const LedgerFile& file : files) say_launcher_is_gone(file);
  return files;
}

std::vector<LedgerFile> Session::finished_ledgers() const {
  std::vector<LedgerFile> files = ledgers();
  std::erase_if(files, [](const LedgerFile& file) { return !file.name.done; });
  return files;
}

bool Session::is_carried_by(int pid) const {
  std::string environment;
  std::string none;
  return read_regular_file(fmt::format("/proc/{}/environ", pid), kMostProcBytes, environment, none) &&
         environment.find("UNFREED_SESSION=" + name_ + '\0') != std::string::npos;
}

/// Checks the process numbers one by one, if they are few. Empty: they are not, so list all processes.
std::optional<bool> Session::is_carried_after(int first) const {
  constexpr int kFew = 200;  // checking so many takes less time than listing all processes of a machine
  for (int next = first + 1;;) {
    // A process that started another and ended before its check has left a newer number.
    int newest = newest_number();
    if (newest < first || newest - first > kFew) return {};
    if (next > newest) return false;
    for (; next <= newest; ++next)
      if (is_carried_by(next)) return true;
  }
}

std::vector<int> Session::processes(int first, bool was_short) const {
  std::vector<int> found;
  // In a short time process numbers do not wrap round. The number found may be a thread's: list the processes then.
  if (was_short && !is_carried_after(first).value_or(true)) return found;
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir("/proc"), &closedir);
  while (dirent* entry = open ? readdir(open.get()) : nullptr) {
    // Numbers grow until they wrap round, so hardly any process of the machine needs to be looked at.
    int pid = base::parse_id(entry->d_name);
    if (pid > first && is_carried_by(pid)) found.push_back(pid);
  }
  return found;
}

LedgerWatch::LedgerWatch(const Session& session) : session_(session) {
  descriptor_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  for (const auto& folder : session.folders()) {
    // The very folder that is open, wherever its path leads by now.
    std::string path = fmt::format("/proc/self/fd/{}", folder->fd.get());
    int watch = descriptor_ < 0 ? -1 : inotify_add_watch(descriptor_, path.c_str(), IN_MOVED_TO | IN_ONLYDIR);
    watches_.push_back(watch);
    if (watch >= 0 || descriptor_ < 0) continue;
    close(descriptor_);
    descriptor_ = -1;
  }
}

LedgerWatch::~LedgerWatch() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::vector<LedgerFile> LedgerWatch::take_finished() {
  std::vector<LedgerFile> finished;
  bool lost_count = false;
  alignas(inotify_event) char buffer[16 * 1024];
  for (ssize_t got; descriptor_ >= 0 && (got = read(descriptor_, buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < got;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof event + event.len);
      if (event.mask & IN_Q_OVERFLOW) lost_count = true;
      ledger::FileName name;
      if (!event.len || !ledger::parse_file_name(event.name, name) || !name.done) continue;
      size_t folder = static_cast<size_t>(std::find(watches_.begin(), watches_.end(), event.wd) - watches_.begin());
      if (folder < watches_.size()) finished.push_back({session_.folders()[folder], name});
    }
  }
  return lost_count ? session_.finished_ledgers() : finished;
}

}  // namespace unfreed::cli
