// The children's verbs. A child process is held from the call that starts it to the wait that reaps it. A child that
// has ended and was not waited for is a zombie.
//
// Another thread may reap a child before the call that started it has returned. So unknown pids that are reaped are
// remembered while starts are in progress. A start leaves no state that must be reset:
// the call may never return (an atfork handler that throws, a signal handler that jumps).
//
// All are thread-safe, async-signal-safe and keep errno.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "track/live_since.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// A start in progress. Its number orders it among others; 0: not tracked.
struct ChildStart {
  uint64_t number = 0;
};
ChildStart child_starting();
/// The start is over: with a pid, with 0 if there is no child to track, or with −1 (a failure for lack of a resource is
/// recorded, by errno).
void child_started(ChildStart start, pid_t pid, uint16_t hook, const unwind::Registers& from);

/// Wraps a fork-like call, which returns the pid, −1 with errno, or 0 in the child.
template <class Call>
pid_t child_forking(uint16_t hook, const unwind::Registers& from, Call call) {
  ChildStart start = child_starting();
  pid_t pid = call();
  if (pid != 0) child_started(start, pid, hook, from);
  return pid;
}

/// A wait function has reaped it.
void child_reaped(pid_t pid);

/// Orphans become this process's children, or no longer (PR_SET_CHILD_SUBREAPER).
void set_adopts_orphans(bool does);

/// Adds the children that were started after `serial` and not waited for.
void child_live_since(uint32_t serial, LiveSince& out);

/// Allocates the tables.
bool prepare_children();
/// Enters the children that the process has before tracking begins, and whether orphans become its children. Called
/// once for each ledger, but not in a fork child, which has none.
void children_take_inherited();
void reset_children_after_fork();

}  // namespace unfreed::track
