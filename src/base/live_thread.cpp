#include "base/live_thread.h"

#include <string_view>

#include "base/numbered_entries.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::base {

namespace {

using Path = FixedText<64>;

/// Has the thread ended? False where nobody can tell.
bool has_ended(const char* stat_path) {
  char text[256];
  long size = read_file(stat_path, text, sizeof text);
  std::string_view line(text, size > 0 ? static_cast<size_t>(size) : 0);
  size_t name_end = line.rfind(')');  // the name may hold anything
  if (name_end == line.npos || name_end + 2 >= line.size()) return false;
  char state = line[name_end + 2];
  return state == 'Z' || state == 'X';
}

}  // namespace

int live_thread(int pid) {
  Path main_thread;
  main_thread.add("/proc/").add_signed(pid).add("/stat");
  if (!has_ended(main_thread.c_str())) return pid;
  Path path;
  path.add("/proc/").add_signed(pid).add("/task");
  long directory = open_file(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (is_error(directory)) return pid;
  int found = pid;
  alignas(8) char entries[1024];
  each_numbered_entry(directory, entries, [&](int tid) {
    Path thread;
    thread.add("/proc/").add_signed(pid).add("/task/").add_signed(tid).add("/stat");
    if (has_ended(thread.c_str())) return true;
    found = tid;
    return false;
  });
  close_file(directory);
  return found;
}

}  // namespace unfreed::base
