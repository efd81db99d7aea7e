#include "cli/ledger_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <tuple>

#include "base/live_thread.h"
#include "ledger/leftovers.h"
#include "ledger/library_part.h"

namespace unfreed::cli {

namespace {

std::string file_name(const ledger::FileName& name) {
  base::FixedText<64> text;
  ledger::add_file_name(text, name);
  return std::string(text.text());
}

/// All names in a folder that is held open.
std::vector<std::string> list_names(int folder) {
  std::vector<std::string> names;
  int listed = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::unique_ptr<DIR, int (*)(DIR*)> open(listed < 0 ? nullptr : fdopendir(listed), &closedir);
  while (dirent* entry = open ? readdir(open.get()) : nullptr) names.emplace_back(entry->d_name);
  return names;
}

OpenLedger open_with(const LedgerFile& file, int flags) {
  std::string name = file_name(file.name);
  int folder = file.folder->fd.get();
  struct stat status {};
  unsigned user = geteuid();
  if (file.folder->is_for_others) {
    if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};
    user = status.st_uid;
  }
  return {base::UniqueFd(ledger::open_own_file(folder, name.c_str(), user, flags, status)), user};
}

bool is_ledger(const ledger::Header& header) {
  return std::memcmp(header.magic, ledger::kMagic, sizeof header.magic) == 0 &&
         header.format_version == ledger::kFormatVersion && header.byte_order == ledger::kByteOrder;
}

/// What libraries in traced processes of that number may have recorded: also in one that had it before.
std::vector<LedgerFile> library_parts(const LedgerFile& file) {
  std::vector<LedgerFile> parts;
  for (const std::string& name : list_names(file.folder->fd.get())) {
    LedgerFile part{file.folder, {}};
    if (ledger::parse_file_name(name, part.name) && part.name.is_library &&
        is_of(part, file.name.pid, file.name.pid_namespace))
      parts.push_back(std::move(part));
  }
  return parts;
}

/// Of the process that started at `start_ticks`, or of a later one.
bool is_part_of(uint64_t start_ticks, uint64_t part_start_ticks, uint64_t part_created_ns) {
  if (!start_ticks) return true;
  if (part_start_ticks) return part_start_ticks == start_ticks;
  // A fork child's does not say when the process started.
  uint64_t tick_ns = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return part_created_ns >= start_ticks * tick_ns;
}

}  // namespace

std::string LedgerFile::path() const { return folder->path + "/" + file_name(name); }

std::vector<LedgerFile> list_ledgers(const std::vector<std::shared_ptr<const LedgerFolder>>& folders) {
  std::vector<LedgerFile> files;
  for (const auto& folder : folders) {
    for (const std::string& name : list_names(folder->fd.get())) {
      LedgerFile file{folder, {}};
      if (ledger::parse_file_name(name, file.name) && !file.name.is_library) files.push_back(std::move(file));
    }
  }
  auto order = [](const LedgerFile& file) {
    return std::tuple(file.name.pid_namespace, file.name.pid, file.folder->is_for_others, file.name.image,
                      file.name.done);
  };
  std::sort(files.begin(), files.end(),
            [&](const LedgerFile& left, const LedgerFile& right) { return order(left) < order(right); });
  return files;
}

OpenLedger open_ledger(const LedgerFile& file) { return open_with(file, O_RDONLY); }

std::optional<LedgerFacts> read_ledger_facts(const LedgerFile& file) {
  OpenLedger open = open_ledger(file);
  alignas(ledger::Header) char bytes[sizeof(ledger::Header)];
  if (!open.file || pread(open.file.get(), bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return {};
  const auto& header = *reinterpret_cast<const ledger::Header*>(bytes);
  if (!is_ledger(header)) return {};
  return LedgerFacts{static_cast<ledger::State>(header.state.load(std::memory_order_relaxed)),
                     static_cast<ledger::Handover>(header.handover.load(std::memory_order_relaxed)),
                     open.user,
                     header.created_boottime_ns,
                     header.process_start_ticks,
                     header.is_reported.load(std::memory_order_relaxed) != 0,
                     (header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagTraced) != 0};
}

bool has_process(const LedgerFile& file, const std::optional<LedgerFacts>& facts) {
  static const uint64_t own_namespace = ledger::own_pid_namespace();
  // What was killed has left a ledger that nobody keeps, of a process that goes on.
  bool is_left = facts && facts->is_traced && ledger::find_launcher(file.folder->fd.get()) == ledger::Launcher::gone;
  if (is_left) return false;
  if (file.name.pid_namespace == own_namespace)
    return is_running(file.name.pid, facts ? facts->created_boottime_ns : 0);
  OpenLedger open = open_ledger(file);
  return open.file && ledger::may_be_mapped(open.file.get());
}

void say_launcher_is_gone(const LedgerFile& file) {
  if (!read_ledger_facts(file)) return;
  // Written, not mapped: a file that is shortened meanwhile then does no harm.
  OpenLedger open = open_with(file, O_WRONLY);
  uint32_t gone = 1;
  if (open.file && pwrite(open.file.get(), &gone, sizeof gone, offsetof(ledger::Header, launcher_gone)) < 0) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void finish_name(LedgerFile& file) {
  ledger::FileName done = file.name;
  done.done = true;
  int folder = file.folder->fd.get();
  int result = renameat2(folder, file_name(file.name).c_str(), folder, file_name(done).c_str(), RENAME_NOREPLACE);
  if (result == 0 || errno == ENOENT) file.name = done;
}

void remove_ledger(const LedgerFile& file) {
  int folder = file.folder->fd.get();
  std::optional<LedgerFacts> facts = read_ledger_facts(file);
  for (const LedgerFile& part : facts && facts->is_traced ? library_parts(file) : std::vector<LedgerFile>()) {
    std::optional<LedgerFacts> known = read_ledger_facts(part);
    if (!known || is_part_of(facts->start_ticks, known->start_ticks, known->created_boottime_ns))
      unlinkat(folder, file_name(part.name).c_str(), 0);
  }
  unlinkat(folder, file_name(file.name).c_str(), 0);
}

void remove_lone_library_parts(const std::vector<std::shared_ptr<const LedgerFolder>>& folders) {
  for (const auto& folder : folders) {
    std::set<std::pair<uint64_t, int>> completed;
    std::vector<LedgerFile> parts;
    for (const std::string& name : list_names(folder->fd.get())) {
      LedgerFile file{folder, {}};
      if (!ledger::parse_file_name(name, file.name)) continue;
      if (file.name.is_library)
        parts.push_back(std::move(file));
      else
        completed.emplace(file.name.pid_namespace, file.name.pid);
    }
    for (const LedgerFile& part : parts)
      if (!completed.contains({part.name.pid_namespace, part.name.pid}) && !has_process(part, read_ledger_facts(part)))
        unlinkat(folder->fd.get(), file_name(part.name).c_str(), 0);
  }
}

void add_library_part(ledger::Copy& copy, const LedgerFile& file) {
  const ledger::Header& header = copy.view().header();
  uint32_t flags = header.flags.load(std::memory_order_relaxed);
  if (!(flags & ledger::kHeaderFlagTraced)) return;
  std::string why;
  ledger::Copy found;
  for (const LedgerFile& part : library_parts(file)) {
    OpenLedger open = open_ledger(part);
    ledger::Copy library;
    ledger::CopyError error =
        open.file ? library.load(open.file.get()) : ledger::CopyError{"it is not a file of the process's user", 0};
    if (error) {
      why = fmt::format("its ledger: {}", error.message);
      continue;
    }
    const ledger::Header& other = library.view().header();
    bool is_of_it = other.pid == header.pid &&
                    is_part_of(header.process_start_ticks, other.process_start_ticks, other.created_boottime_ns);
    bool is_of_image = other.state.load() != static_cast<uint32_t>(ledger::State::replaced);
    // Of later processes of this number there may be others.
    bool is_first = !found || other.created_boottime_ns < found.view().header().created_boottime_ns;
    if (is_of_it && is_of_image && is_first) found = std::move(library);
  }
  if (found) {
    if (ledger::add_library_part(copy, found.view())) return;
    why = "there is not enough memory to read its ledger";
  }
  if (why.empty() && flags & ledger::kHeaderFlagHasLibraryPart) why = "its ledger is not there";
  if (!why.empty()) ledger::lose_library_part(copy, why);
}

void add_library_part(ledger::Copy& copy, const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  base::UniqueFd opened(base::open_file(folder.empty() ? "." : folder.c_str(), O_PATH | O_DIRECTORY));
  LedgerFile file;
  bool is_named = ledger::parse_file_name(base::base_name(path), file.name);
  // Whoever owns it: as root, the command reads other users' ledgers.
  file.folder = std::make_shared<LedgerFolder>(LedgerFolder{std::move(opened), folder, true});
  if (!is_named) file.name = {};  // it was renamed, and says itself if it is not complete
  add_library_part(copy, file);
}

bool is_there(const LedgerFile& file) {
  return faccessat(file.folder->fd.get(), file_name(file.name).c_str(), F_OK, 0) == 0;
}

void remove_unbegun(const LedgerFile& file) {
  OpenLedger open = open_ledger(file);
  if (!open.file) return;
  char start[sizeof ledger::kMagic] = {};
  ssize_t got = pread(open.file.get(), start, sizeof start, 0);
  if (got >= 0 && std::all_of(start, start + sizeof start, [](char byte) { return byte == 0; })) remove_ledger(file);
}

std::string process_folder(int pid) {
  int thread = base::live_thread(pid);
  return thread == pid ? fmt::format("/proc/{}", pid) : fmt::format("/proc/{}/task/{}", pid, thread);
}

std::string ledger_directory() {
  const char* directory = std::getenv("UNFREED_LEDGER_DIR");
  return std::string(directory && *directory ? directory : kDefaultLedgerDirectory);
}

std::vector<std::shared_ptr<const LedgerFolder>> list_own_folders(const std::string& directory) {
  std::vector<std::shared_ptr<const LedgerFolder>> folders;
  base::UniqueFd opened(base::open_file(directory.c_str(), O_PATH | O_DIRECTORY));
  if (!opened) return folders;
  unsigned user = geteuid();
  for (const std::string& name : list_names(opened.get())) {
    if (!ledger::is_folder_name(name, user)) continue;
    base::UniqueFd folder(ledger::open_folder(opened.get(), name.c_str(), user));
    if (folder)
      folders.push_back(std::make_shared<LedgerFolder>(
          LedgerFolder{std::move(folder), fmt::format("{}/{}", directory, name), false}));
  }
  return folders;
}

}  // namespace unfreed::cli
