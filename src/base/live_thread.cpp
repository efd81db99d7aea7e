#include "base/live_thread.h"

#include <string_view>

#include "base/numbered_entries.h"
#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::base {

namespace {

using Path = FixedText<64>;

}  // namespace

int live_thread(int pid) {
  Path main_thread;
  main_thread.add("/proc/").add_signed(pid).add("/stat");
  if (!read_process_stat(main_thread.c_str()).has_ended()) return pid;
  Path path;
  path.add("/proc/").add_signed(pid).add("/task");
  long directory = open_file(path.c_str(), O_RDONLY | O_DIRECTORY);
  if (is_error(directory)) return pid;
  int found = pid;
  alignas(8) char entries[1024];
  each_numbered_entry(directory, entries, [&](int tid) {
    Path thread;
    thread.add("/proc/").add_signed(pid).add("/task/").add_signed(tid).add("/stat");
    if (read_process_stat(thread.c_str()).has_ended()) return true;
    found = tid;
    return false;
  });
  close_file(directory);
  return found;
}

}  // namespace unfreed::base
