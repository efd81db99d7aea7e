// Untracked programs that this process, or a child of it between fork and exec, has started. Each is
// recorded twice: in the ledger, for this process's report; and on the run's board, for the launcher, which needs those
// that processes without a ledger started, or that replaced a process with one.
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
/// On the run's board alone: this process itself is the program.
void note_self_untracked(std::string_view path, elf::Obstacle obstacle);
/// The program was not started.
void take_untracked_back(const UntrackedProgram& program);

}  // namespace unfreed::track
