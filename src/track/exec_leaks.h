// Descriptors that another program inherits because they are not close-on-exec. They are recorded in the ledger
// of the process that opened them: a child between fork and exec writes to its parent's.
//
// Descriptors that the child opened itself, or that a program was started with, are not recorded: no process is left to
// report them, or there is no stack.
//
//     parent ── open ── fork ─────────────────────────────▶ reports the leak, with the stack of the open
//                         └─ child ── exec ─▶ notes here
//
// All are async-signal-safe and keep errno.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ledger/writer.h"

namespace unfreed::track {

/// What happens to the caller's descriptors in the child before it execs.
struct ChildFds {
  static constexpr int kMost = 256;
  int numbers[kMost];  ///< closed or replaced in the child: not inherited
  int count = 0;
  int closed_from = INT32_MAX;
  bool closes_popen_streams = false;  ///< popen's child closes what earlier popens have left open (POSIX)
  void add(int fd) {
    if (count < kMost) numbers[count++] = fd;
  }
  bool is_replaced(int fd) const {
    for (int i = 0; i < count; ++i)
      if (numbers[i] == fd) return true;
    return fd >= closed_from;
  }
};

/// What was recorded for one call, in case it fails.
struct ExecLeaks {
  static constexpr size_t kMost = 64;
  ledger::ExecLeak* exec_leaks[kMost];
  size_t count = 0;
};

/// Another program is about to start with this process's descriptors: by exec in this process, or in a child.
void note_exec_leaks(uint16_t hook, const char* program, ExecLeaks& noted, const ChildFds& child = {});
/// The program was not started.
void take_exec_leaks_back(const ExecLeaks& noted);

/// Numbers that other programs may inherit: UNFREED_INHERITABLE.
void allow_exec_leak(int first, int last);
void forget_allowed_exec_leaks();

/// A fork child is about to give up its parent's ledger: keeps the part in which exec leaks and untracked programs
/// are recorded. Afterwards exec leaks of descriptors that the parent had opened go there.
void keep_parents_exec_leaks(const ledger::Writer& parent);
/// The kept part's records of programs, those in use and one more; nullptr: there is none, or no storage.
ledger::Untracked* parents_untracked(ledger::Section*& table);
/// Counts in the parent's ledger what concerns this child, for the parent's report. Nothing in a private ledger.
void drop_in_parent(ledger::Dropped reason);

}  // namespace unfreed::track
