#include "cli/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/settings_input.h"
#include "cli/text_file.h"

namespace unfreed::cli {

namespace {

/// A small ledger's worth: with less, the first process already has none.
constexpr uint64_t kLeastFreeBytes = 1u << 20;
/// Of a file of /proc; an environment can be as large as the stack allows.
constexpr uint64_t kMostProcBytes = 64u << 20;

bool has_room(const std::string& directory) {
  struct statvfs status {};
  if (access(directory.c_str(), W_OK | X_OK) != 0 || statvfs(directory.c_str(), &status) != 0) return false;
  return uint64_t{status.f_bavail} * status.f_frsize >= kLeastFreeBytes;
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
    complain(fmt::format("UNFREED_LEDGER_DIR={}: not a directory that can be written to; the default is used", given));
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
  return read_regular_file("/proc/sys/kernel/ns_last_pid", kMostProcBytes, text, none) ? std::atoi(text.c_str()) : 0;
}

uint32_t random_number() {
  uint32_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number) return number;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint32_t>(now.tv_nsec * 2654435761u);
}

}  // namespace

Session::Session() : directory_(choose_directory()), name_(fmt::format("{}-{:08x}", getpid(), random_number())) {
  std::string path = directory_ + "/" + launcher_file_name(name_);
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return;  // then every process reports by itself
  close(file);
  taking_ = path;
}

std::vector<LedgerFile> Session::stop_taking() {
  if (taking_.empty()) return {};
  unlink(taking_.c_str());
  taking_.clear();
  std::vector<LedgerFile> files = ledgers();
  std::erase_if(files, [](const LedgerFile& file) { return file.name.done; });
  for (const LedgerFile& file : files) say_launcher_is_gone(file.path);
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

/// Asked by their numbers, where those are few. Empty: only the list of all processes tells.
std::optional<bool> Session::is_carried_after(int first) const {
  constexpr int kFew = 200;  // that many are asked for in less time than all of a machine's are listed
  for (int next = first + 1;;) {
    // One that has started another, and ended before it was asked for, has left a newer number.
    int newest = newest_number();
    if (newest < first || newest - first > kFew) return {};
    if (next > newest) return false;
    for (; next <= newest; ++next)
      if (is_carried_by(next)) return true;
  }
}

std::vector<int> Session::processes(int first, bool was_short) const {
  std::vector<int> found;
  // In a short time numbers do not go once round. What carries the session may be a thread: the list tells.
  if (was_short && !is_carried_after(first).value_or(true)) return found;
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir("/proc"), &closedir);
  while (dirent* entry = open ? readdir(open.get()) : nullptr) {
    // Numbers grow until they wrap round, so hardly any process of the machine needs to be looked at.
    int pid = std::atoi(entry->d_name);
    if (pid > first && is_carried_by(pid)) found.push_back(pid);
  }
  return found;
}

LedgerWatch::LedgerWatch(const Session& session) : session_(session) {
  descriptor_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (descriptor_ < 0 || inotify_add_watch(descriptor_, session.directory().c_str(), IN_MOVED_TO | IN_ONLYDIR) >= 0)
    return;
  close(descriptor_);
  descriptor_ = -1;
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
      std::optional<LedgerName> name = event.len ? parse_ledger_name(event.name) : std::nullopt;
      if (name && name->done && name->session == session_.name())
        finished.push_back({session_.directory() + "/" + event.name, *name});
    }
  }
  return lost_count ? session_.finished_ledgers() : finished;
}

}  // namespace unfreed::cli
