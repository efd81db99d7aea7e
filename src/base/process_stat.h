// What /proc/PID/stat says of a process, or /proc/PID/task/TID/stat of a thread: proc(5). Async-signal-safe.
#pragma once

#include <csignal>
#include <cstdint>
#include <string_view>

namespace unfreed::base {

struct ProcessStat {
  bool is_known = false;  ///< it could be read
  bool is_gone = false;   ///< there is no such process or thread (any more), by the kernel's word
  char name[64] = {};     ///< of its program
  char state = ' ';  ///< R, S, D, Z …; a main thread that has ended by itself is a zombie as long as there are others
  int parent = 0;
  uint64_t threads = 0;
  uint64_t start_ticks = 0;        ///< since the machine started; tells it from a later one of the same number
  uint64_t exit_signal = SIGCHLD;  ///< that its parent gets

  bool has_ended() const { return state == 'Z' || state == 'X'; }
};

/// `path`: of the file.
ProcessStat read_process_stat(const char* path);

}  // namespace unfreed::base
