#include "runtime/ancestry.h"

#include <cstring>

#include "base/syscall.h"

namespace unfreed::runtime {

namespace {

/// A process's environment, as it was when it was started.
class StartEnvironment {
 public:
  explicit StartEnvironment(int pid) : text_(static_cast<char*>(base::map_memory(kMostBytes))) {
    base::FixedText<40> path;
    path.add("/proc/").add_signed(pid).add("/environ");
    long size = text_ ? base::read_file(path.c_str(), text_, kMostBytes - 1) : 0;
    if (size > 0) bytes_ = static_cast<size_t>(size);
  }
  ~StartEnvironment() {
    if (text_) base::unmap_memory(text_, kMostBytes);
  }
  StartEnvironment(const StartEnvironment&) = delete;
  StartEnvironment& operator=(const StartEnvironment&) = delete;

  bool preloads(std::string_view library) const {
    return value_of("LD_PRELOAD").find(library) != std::string_view::npos;
  }

  std::string_view value_of(std::string_view name) const {
    for (const char* entry = text_; entry < text_ + bytes_; entry += std::strlen(entry) + 1) {
      std::string_view text(entry);
      if (text.starts_with(name) && text.size() > name.size() && text[name.size()] == '=')
        return base::slice(text, name.size() + 1);
    }
    return {};
  }

 private:
  static constexpr size_t kMostBytes = 256 * 1024;  // zeroed behind what was read
  char* text_;
  size_t bytes_ = 0;
};

/// By its executable, or by the name that it was started by, as far as that can be seen from outside.
bool is_tracked(const report::Settings& settings, int pid) {
  if (settings.only.empty()) return true;
  base::FixedText<40> path;
  path.add("/proc/").add_signed(pid);
  size_t folder = path.size();
  char name[1024];
  long size = base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(path.add("/exe").c_str()),
                                reinterpret_cast<long>(name), sizeof name);
  if (size > 0 && report::is_wanted(settings, {name, static_cast<size_t>(size)})) return true;
  path.shorten(folder);
  size = base::read_file(path.add("/comm").c_str(), name, sizeof name);
  return size > 1 && report::is_wanted(settings, {name, static_cast<size_t>(size - 1)});
}

}  // namespace

base::ProcessStat read_stat(int pid) {
  base::FixedText<40> path;
  path.add("/proc/");
  pid ? path.add_signed(pid) : path.add("self");
  return base::read_process_stat(path.add("/stat").c_str());
}

void find_run(const report::Settings& settings, std::string_view library, Run& out) {
  constexpr int kDeepest = 64;
  int pid = base::current_pid();
  base::ProcessStat stat = read_stat(0);
  for (int depth = 0; depth < kDeepest && stat.parent > 0; ++depth) {
    StartEnvironment parent(stat.parent);
    if (!parent.preloads(library) || parent.value_of("UNFREED_OUTPUT") != settings.output) break;
    if (is_tracked(settings, stat.parent)) out.is_first = false;
    pid = stat.parent;
    stat = read_stat(pid);
  }
  if (stat.start_ticks) out.name.add_signed(pid).add('-').add_number(stat.start_ticks);
}

bool is_parent_preloaded(std::string_view library) {
  return StartEnvironment(static_cast<int>(base::raw_syscall(SYS_getppid))).preloads(library);
}

}  // namespace unfreed::runtime
