#include "cli/ledger_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <tuple>

#include "base/live_thread.h"
#include "base/syscall.h"

namespace unfreed::cli {

namespace {

constexpr std::string_view kPrefix = "unfreed.";
constexpr std::string_view kDoneSuffix = ".done";
constexpr std::string_view kLauncherSuffix = ".launcher";
constexpr time_t kStaleAfterSeconds = 3600;

template <class Number>
bool parse_whole(std::string_view text, Number& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

/// Cuts the part after the last '.' off `text`.
std::string_view take_last_part(std::string_view& text) {
  size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string_view part = text.substr(dot + 1);
  text = text.substr(0, dot);
  return part;
}

}  // namespace

std::optional<LedgerName> parse_ledger_name(std::string_view file_name) {
  if (!file_name.starts_with(kPrefix)) return {};
  file_name.remove_prefix(kPrefix.size());
  LedgerName name;
  if (file_name.ends_with(kDoneSuffix)) {
    name.done = true;
    file_name.remove_suffix(kDoneSuffix.size());
  }
  bool is_good = parse_whole(take_last_part(file_name), name.image);
  is_good = is_good && parse_whole(take_last_part(file_name), name.pid) && name.pid > 0 && !file_name.empty();
  if (!is_good) return {};
  name.session = file_name;
  return name;
}

std::string launcher_file_name(std::string_view session) {
  return std::string(kPrefix).append(session).append(kLauncherSuffix);
}

std::vector<LedgerFile> list_ledgers(const std::string& directory, std::string_view session) {
  std::vector<LedgerFile> files;
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(directory.c_str()), &closedir);
  if (!open) return files;
  while (dirent* entry = readdir(open.get())) {
    std::optional<LedgerName> name = parse_ledger_name(entry->d_name);
    if (name && (session.empty() || name->session == session))
      files.push_back({directory + "/" + entry->d_name, std::move(*name)});
  }
  std::sort(files.begin(), files.end(), [](const LedgerFile& a, const LedgerFile& b) {
    return std::tie(a.name.pid, a.name.image, a.name.done) < std::tie(b.name.pid, b.name.image, b.name.done);
  });
  return files;
}

namespace {
bool is_ledger(const ledger::Header& header) {
  return std::memcmp(header.magic, ledger::kMagic, sizeof header.magic) == 0 &&
         header.format_version == ledger::kFormatVersion && header.byte_order == ledger::kByteOrder;
}
}  // namespace

void say_launcher_is_gone(const std::string& path) {
  int file = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat status {};
  if (file >= 0 && fstat(file, &status) == 0 && status.st_size >= static_cast<off_t>(sizeof(ledger::Header))) {
    void* place = mmap(nullptr, sizeof(ledger::Header), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (place != MAP_FAILED) {
      auto& header = *static_cast<ledger::Header*>(place);
      if (is_ledger(header)) header.handover.fetch_or(ledger::kHandoverLauncherGone, std::memory_order_acq_rel);
      munmap(place, sizeof(ledger::Header));
    }
  }
  if (file >= 0) close(file);
}

std::optional<LedgerFacts> read_ledger_facts(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return {};
  alignas(ledger::Header) char bytes[sizeof(ledger::Header)];
  ssize_t got = pread(file, bytes, sizeof bytes, 0);
  close(file);
  if (got != static_cast<ssize_t>(sizeof bytes)) return {};
  const auto& header = *reinterpret_cast<const ledger::Header*>(bytes);
  if (!is_ledger(header)) return {};
  return LedgerFacts{static_cast<ledger::State>(header.state.load(std::memory_order_relaxed)),
                     header.uid,
                     header.pid,
                     header.launcher_pid,
                     header.process_start_ticks,
                     (header.handover.load(std::memory_order_relaxed) & ledger::kHandoverLeft) != 0};
}

void finish_name(LedgerFile& file) {
  std::string done = file.path + std::string(kDoneSuffix);
  if (rename(file.path.c_str(), done.c_str()) != 0 && errno != ENOENT) return;
  file.path = done;
  file.name.done = true;
}

void remove_unbegun(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return;
  char start[sizeof ledger::kMagic] = {};
  ssize_t got = pread(file, start, sizeof start, 0);
  bool is_unbegun = got >= 0 && std::all_of(start, start + sizeof start, [](char byte) { return byte == 0; });
  close(file);
  if (is_unbegun) unlink(path.c_str());
}

bool is_running(int pid, uint64_t start_ticks) {
  if (pid <= 0) return false;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  char text[1024];
  long got = base::read_file(path, text, sizeof text - 1);
  if (got <= 0) {
    // No such process, or no /proc to ask.
    return access("/proc/self/stat", R_OK) != 0 && (kill(pid, 0) == 0 || errno == EPERM);
  }
  text[got] = '\0';
  // The name in parentheses may hold anything; the fields after it are counted from 3 on, as in proc(5).
  const char* after = std::strrchr(text, ')');
  if (!after || after[1] != ' ') return true;
  auto field = [at = after + 2, number = 3](int wanted) mutable {
    for (; number < wanted && at; ++number) {
      at = std::strchr(at, ' ');
      if (at) ++at;
    }
    return at ? std::optional(std::strtoull(at, nullptr, 10)) : std::nullopt;
  };
  // A main thread that has ended by itself is a zombie as long as there are others.
  bool is_over = after[2] == 'X' || (after[2] == 'Z' && field(20).value_or(0) <= 1);
  return !is_over && (start_ticks == 0 || field(22).value_or(start_ticks) == start_ticks);
}

std::string process_folder(int pid) {
  int thread = base::live_thread(pid);
  return thread == pid ? fmt::format("/proc/{}", pid) : fmt::format("/proc/{}/task/{}", pid, thread);
}

std::string ledger_directory() {
  const char* directory = std::getenv("UNFREED_LEDGER_DIR");
  return std::string(directory && *directory ? directory : kDefaultLedgerDirectory);
}

namespace {
/// A launcher's session starts with its pid.
void remove_files_of_killed_launchers(const std::string& directory, uid_t user) {
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(directory.c_str()), &closedir);
  while (dirent* entry = open ? readdir(open.get()) : nullptr) {
    std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kLauncherSuffix)) continue;
    name.remove_prefix(kPrefix.size());
    int pid = 0;
    if (!parse_whole(name.substr(0, name.find('-')), pid) || is_running(pid, 0)) continue;
    struct stat status {};
    bool is_ours = fstatat(dirfd(open.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                   S_ISREG(status.st_mode) && status.st_uid == user;
    if (is_ours) unlinkat(dirfd(open.get()), entry->d_name, 0);
  }
}
}  // namespace

void remove_stale_ledgers(const std::string& directory) {
  uid_t user = geteuid();
  remove_files_of_killed_launchers(directory, user);
  for (const LedgerFile& file : list_ledgers(directory, {})) {
    struct stat status {};
    if (lstat(file.path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != user) continue;
    if (time(nullptr) - status.st_mtime < kStaleAfterSeconds) continue;
    std::optional<LedgerFacts> facts = read_ledger_facts(file.path);
    if (!facts && !is_running(file.name.pid, 0)) remove_unbegun(file.path);
    if (!facts || (facts->state != ledger::State::ended && facts->state != ledger::State::replaced)) continue;
    if (is_running(file.name.pid, facts->process_start_ticks)) continue;
    if (facts->launcher_pid > 0 && is_running(facts->launcher_pid, 0)) continue;
    unlink(file.path.c_str());
  }
}

}  // namespace unfreed::cli
