#include "hook/handover.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "track/thread_state.h"
#include "track/untracked.h"

extern char** environ;

namespace unfreed::hook {

using base::raw_syscall;
using elf::Obstacle;

Preloading g_preloading;

namespace {

constexpr std::string_view kPreload = "LD_PRELOAD=";
constexpr std::string_view kSession = "UNFREED_SESSION=";
constexpr std::string_view kDisabled = "UNFREED_DISABLE=1";
/// Valgrind's tools are static programs that load another into themselves, with all that is preloaded into it.
constexpr std::string_view kValgrind = "VALGRIND_LAUNCHER=";
constexpr size_t kPageBytes = 4096;

/// As executable as stat(2) tells.
bool is_program(const char* path) {
  struct stat status {};
  return raw_syscall(SYS_newfstatat, AT_FDCWD, reinterpret_cast<long>(path), reinterpret_cast<long>(&status), 0) == 0 &&
         S_ISREG(status.st_mode) && status.st_mode & 0111;
}

/// execvp's search: by this process's own PATH, whatever the environment handed on says. False: there is none, and
/// `path` is empty.
bool search(std::string_view name, base::TextBuilder& path) {
  std::string_view folders = "/bin:/usr/bin";  // as confstr(3) has it
  for (char** entry = environ; entry && *entry; ++entry)
    if (std::string_view text(*entry); text.starts_with("PATH=")) {
      folders = base::slice(text, 5);
      break;
    }
  for (;;) {
    size_t end = folders.find(':');
    std::string_view folder = base::slice(folders, 0, end);
    path.clear();
    path.add(folder).add(folder.empty() ? "" : "/").add(name);
    if (!path.cut() && is_program(path.c_str())) return true;
    path.clear();
    if (end == folders.npos) return false;
    folders = base::slice(folders, end + 1);
  }
}

/// The environment made for a program that cannot take the library. A vfork child leaves it to its parent, which is
/// why it stays with the thread.
struct Memory {
  void* start;
  size_t bytes;
};
thread_local constinit Memory t_memory{};

void* take_memory(size_t bytes) {
  if (t_memory.bytes >= bytes) return t_memory.start;
  if (t_memory.start) base::unmap_memory(t_memory.start, t_memory.bytes);
  t_memory = {};
  bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* start = base::map_memory(bytes);
  if (start) t_memory = {start, bytes};
  return start;
}

void give_memory_back() {
  if (t_memory.start) base::unmap_memory(t_memory.start, t_memory.bytes);
  t_memory = {};
}

/// "…/preload/$LIB/libunfreed.so" beside the library, where an installation or a build has put it: ld.so(8) puts its
/// own kind of directory in place of $LIB, musl's loader finds the library for musl in a folder of that very name, or
/// no such file, and goes on without.
void find_name_for_any(base::TextBuilder& out) {
  std::string_view entry = g_preloading.entry, library = g_preloading.library;
  if (entry.find('$') != entry.npos) {
    out.add(entry);
    return;
  }
  std::string_view name = base::base_name(library);
  base::FixedText<1024> folder;
  folder.add(base::slice(library, 0, library.size() - name.size())).add("preload");
  bool is_there = raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(folder.c_str()), 0) == 0;
  if (is_there && !folder.cut()) out.add(folder.text()).add("/$LIB/").add(name);
}

bool is_library_readable() {
  constexpr int kMayRead = 4;
  return raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(g_preloading.library), kMayRead) == 0;
}

}  // namespace

/// Arguments may be invalid pointers: the real call fails with EFAULT, and so must the hook.
class GivenMemory {
 public:
  explicit GivenMemory(bool is_trusted) : is_trusted_(is_trusted) {}

  bool is_readable(const void* start, size_t bytes) {
    if (is_trusted_) return true;
    auto first = reinterpret_cast<uintptr_t>(start) / kPageBytes;
    auto last = (reinterpret_cast<uintptr_t>(start) + bytes - 1) / kPageBytes;
    for (uintptr_t page = first; page <= last; ++page)
      if (!has_page(page)) return false;
    return true;
  }
  /// A NUL-terminated text; false: it has no end that can be read.
  bool read_text(const char* start, std::string_view& out) {
    for (size_t size = 0;;) {
      size_t left = kPageBytes - (reinterpret_cast<uintptr_t>(start) + size) % kPageBytes;
      if (!is_readable(start + size, left)) return false;
      if (const void* end = std::memchr(start + size, '\0', left)) {
        out = {start, static_cast<size_t>(static_cast<const char*>(end) - start)};
        return true;
      }
      size += left;
    }
  }
  bool starts_with(const char* text, std::string_view prefix) {
    for (size_t i = 0; i < prefix.size(); ++i)
      if (!is_readable(text + i, 1) || text[i] != prefix[i]) return false;
    return true;
  }

 private:
  bool has_page(uintptr_t page) {
    uintptr_t& known = known_[page % kKnown];
    if (page && known == page) return true;
    if (!base::can_read(reinterpret_cast<const void*>(page * kPageBytes))) return false;
    known = page;
    return true;
  }

  static constexpr size_t kKnown = 16;
  bool is_trusted_;
  uintptr_t known_[kKnown] = {};
};

bool names_descriptor(const char* path, int flags) {
  char first = 1;
  return flags & AT_EMPTY_PATH && base::copy_memory(0, reinterpret_cast<uintptr_t>(path), &first, 1) == 1 && !first;
}

Handover::Handover(const ProgramName& program, char* const* environment) : environment_(environment) {
  if (!g_preloading.library[0] || !program.text || !base::may_call_system()) return;
  base::KeepErrno keep;
  look_at(program);
  if (verdict_.is_loader && verdict_.obstacle == Obstacle::none && program.arguments) look_at_loaded(program.arguments);
  judge_environment();
}

Handover::~Handover() {
  // A successful exec does not return, and after a spawn the environment is no longer needed.
  if (t_memory.start) {
    base::KeepErrno keep;
    give_memory_back();
  }
}

/// Finds the program's file and judges it. What is not there the real call will not find either.
void Handover::look_at(const ProgramName& program) {
  bool is_there = false;
  if (program.is_searched && !std::strchr(program.text, '/')) {
    if (search(program.text, path_)) verdict_ = elf::judge(path_.c_str(), AT_FDCWD, is_there);
    return;
  }
  verdict_ = elf::judge(program.text, program.directory, is_there);
  if (!is_there) return;
  const char* path = program.text;  // the kernel has read it by now
  if (*path != '/' && program.directory == AT_FDCWD) {
    char folder[512];
    if (std::string_view text = base::current_directory(folder); !text.empty()) {
      path_.add(text).add(text == "/" ? "" : "/");
      while (path[0] == '.' && path[1] == '/') path += 2;
    }
  }
  path_.add(path);
}

/// Of "ld.so [OPTION...] PROGRAM": a static program is run without any library.
void Handover::look_at_loaded(char* const* arguments) {
  constexpr std::string_view kWithValue[] = {"--library-path",      "--inhibit-rpath",        "--audit", "--preload",
                                             "--glibc-hwcaps-mask", "--glibc-hwcaps-prepend", "--argv0"};
  constexpr std::string_view kRunning[] = {"--inhibit-cache"};
  auto is_among = [](std::string_view text, std::span<const std::string_view> list) {
    return std::find(list.begin(), list.end(), text) != list.end();
  };
  GivenMemory memory(false);
  for (size_t at = 1; memory.is_readable(arguments + at, sizeof *arguments) && arguments[at]; ++at) {
    std::string_view text;
    if (!memory.read_text(arguments[at], text)) return;
    if (is_among(text, kWithValue)) {
      ++at;
      if (!memory.is_readable(arguments + at, sizeof *arguments) || !arguments[at]) return;
    } else if (!text.starts_with("--")) {
      bool is_there = false;
      elf::Verdict loaded = elf::judge(arguments[at], AT_FDCWD, is_there);
      if (loaded.obstacle != Obstacle::static_program && loaded.obstacle != Obstacle::static_go) return;
      verdict_.obstacle = loaded.obstacle;
      path_.clear();
      path_.add(text);
      return;
    } else if (!is_among(text, kRunning)) {
      return;  // it only lists or verifies
    }
  }
}

void Handover::judge_environment() {
  if (verdict_.obstacle == Obstacle::musl) {
    base::FixedText<1100> for_any;
    find_name_for_any(for_any);
    elf::accept_musl(for_any.text(), verdict_);
  }
  GivenMemory memory(environment_ == environ);
  std::string_view preload;
  bool has_session = false, is_disabled = false, is_valgrind = false;
  for (; environment_; ++entries_) {
    if (!memory.is_readable(environment_ + entries_, sizeof *environment_)) return;
    const char* entry = environment_[entries_];
    if (!entry) break;
    if (!memory.is_readable(entry, 1)) return;
    if (*entry == 'L' && memory.starts_with(entry, kPreload)) {
      if (!memory.read_text(entry, preload)) return;
      preload = base::slice(preload, kPreload.size());
      preload_ = entries_;
    } else if (*entry == 'U') {
      has_session = has_session || memory.starts_with(entry, kSession);
      is_disabled = is_disabled || memory.starts_with(entry, kDisabled);
    } else if (*entry == 'V') {
      is_valgrind = is_valgrind || memory.starts_with(entry, kValgrind);
    }
  }
  elf::PreloadNames names{g_preloading.entry, {}};
  bool is_expected = !names.entry.empty();
  bool is_named = preload_ != kNone && elf::names_runtime(preload, names);
  if (is_named && !is_library_readable()) {
    if (verdict_.obstacle == Obstacle::none) verdict_.obstacle = Obstacle::unreachable;
    verdict_.remedy = elf::Remedy::leave_out;  // else the loader complains
  }
  if (is_named && verdict_.remedy != elf::Remedy::keep) replace_preload();
  // The user disabled unfreed for it, or it is Valgrind's launcher, which is not the program that will be tracked.
  if (is_disabled || (is_valgrind && verdict_.obstacle == Obstacle::static_program)) {
    verdict_.obstacle = Obstacle::none;
    return;
  }
  if (verdict_.obstacle != Obstacle::none || !is_expected) return;
  if (!is_named)
    verdict_.obstacle = Obstacle::no_preload;
  else if (g_preloading.has_session && !has_session)
    verdict_.obstacle = Obstacle::no_session;
  if (verdict_.obstacle != Obstacle::none && restore_environment(memory)) verdict_.obstacle = Obstacle::none;
  bool is_apart = verdict_.obstacle == Obstacle::none && g_preloading.is_apart && g_preloading.is_apart();
  if (is_apart) verdict_.obstacle = Obstacle::apart;
}

/// For a program whose environment was cleared: adds what it lacks. What it was given stays. False: that is not wanted.
bool Handover::restore_environment(GivenMemory& memory) {
  if (!g_preloading.forced || verdict_.remedy != elf::Remedy::keep) return false;
  std::string_view preload;
  if (preload_ != kNone) preload = base::slice(environment_[preload_], kPreload.size());
  std::string_view entry = g_preloading.entry;
  bool is_named = elf::names_runtime(preload, {entry, {}});
  size_t forced = 0;
  while (g_preloading.forced[forced]) ++forced;
  size_t list_bytes = (entries_ + forced + 2) * sizeof(char*);
  size_t text_bytes = kPreload.size() + entry.size() + 1 + preload.size() + 1;
  auto* made = static_cast<std::byte*>(take_memory(list_bytes + text_bytes));
  if (!made) return false;
  auto** list = reinterpret_cast<char**>(made);
  auto* text = reinterpret_cast<char*>(made + list_bytes);
  base::TextBuilder value(std::span<char>(text, text_bytes));
  value.add(kPreload);
  if (!is_named) value.add(entry).add(preload.empty() ? "" : ":");
  value.add(preload);
  size_t kept = 0;
  for (size_t i = 0; i < entries_; ++i)
    if (i != preload_) list[kept++] = environment_[i];
  list[kept++] = text;
  auto is_given = [&](std::string_view variable) {
    std::string_view name = base::slice(variable, 0, variable.find('=') + 1);
    for (size_t i = 0; i < entries_; ++i)
      if (memory.starts_with(environment_[i], name)) return true;
    return false;
  };
  for (size_t i = 0; i < forced; ++i)
    if (!is_given(g_preloading.forced[i])) list[kept++] = g_preloading.forced[i];
  list[kept] = nullptr;
  environment_ = list;
  return true;
}

void Handover::replace_preload() {
  std::string_view preload = base::slice(environment_[preload_], kPreload.size());
  base::FixedText<1100> for_any;
  if (verdict_.remedy == elf::Remedy::hide) find_name_for_any(for_any);
  elf::PreloadNames names{g_preloading.entry, for_any.text()};
  size_t list_bytes = (entries_ + 1) * sizeof(char*);
  size_t text_bytes = kPreload.size() + preload.size() + for_any.size() + sizeof verdict_.sanitizer_library + 16;
  auto* memory = static_cast<std::byte*>(take_memory(list_bytes + text_bytes));
  if (!memory) return;
  auto** list = reinterpret_cast<char**>(memory);
  auto* text = reinterpret_cast<char*>(memory + list_bytes);
  std::memcpy(text, kPreload.data(), kPreload.size());
  base::TextBuilder value(std::span<char>(text, text_bytes).subspan(kPreload.size()));
  if (!elf::edit_preload(preload, names, verdict_, value)) return;
  size_t kept = 0;
  for (size_t i = 0; i < entries_; ++i) {
    if (i != preload_)
      list[kept++] = environment_[i];
    else if (value.size() > 0)
      list[kept++] = text;
  }
  list[kept] = nullptr;
  environment_ = list;
}

bool Handover::is_told() const {
  bool is_untracked = verdict_.obstacle != Obstacle::none && path_.size() > 0;
  return is_untracked && g_preloading.is_noted && g_preloading.is_noted(path_.text());
}

void Handover::note_replacing() {
  if (!is_told()) return;
  is_noted_ = true;
  track::note_untracked({path_.text(), verdict_.obstacle, base::current_pid(), true});
}

void Handover::take_back() {
  if (is_noted_) track::take_untracked_back({path_.text(), verdict_.obstacle, base::current_pid(), true});
  is_noted_ = false;
}

void Handover::note_started(int pid) {
  if (is_told()) track::note_untracked({path_.text(), verdict_.obstacle, pid, false});
}

}  // namespace unfreed::hook
