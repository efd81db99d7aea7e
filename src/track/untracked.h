// Programs that this process, or a child of it between fork and exec, has started and that are not tracked. Each is
// noted twice: in the ledger, for this process's report; and on the run's board, for the launcher, who learns so of
// programs that were started by processes without a ledger, or that took the place of one.
//
// All are async-signal-safe, keep errno, and may be called in a vfork child.
#pragma once

#include <string_view>

#include "elf/obstacle.h"

namespace unfreed::track {

/// The file of the run's board (ledger::UntrackedBoard); "" without a launcher. `path` must outlive the process.
void set_untracked_board(const char* path);

struct UntrackedProgram {
  std::string_view path;
  elf::Obstacle obstacle;
  int pid;        ///< of the process that it runs in; 0 unknown
  bool replaces;  ///< this process itself becomes it: a fork child's parent is to report it
};
void note_untracked(const UntrackedProgram& program);
/// It did not start.
void take_untracked_back(const UntrackedProgram& program);

}  // namespace unfreed::track
