// The children's verbs. A child process is held from the call that starts it to the wait that collects it; one that has
// ended and was not waited for is a zombie.
//
// Another thread may collect a child before the call that started it has returned. Pids that were collected and are not
// known are remembered for a while, for starts that were under way then. Nothing is raised while one is under way: the
// call may never return (an atfork handler that throws, a signal handler that jumps).
//
// All are thread-safe, async-signal-safe and keep errno.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::track {

/// A start under way. Its number tells what came before it; 0: not tracked.
struct ChildStart {
  uint64_t number = 0;
};
ChildStart child_starting();
/// It is over: with a pid, with 0 where there is no child to speak of, or with −1 (a failure for want of a resource is
/// noted, by errno).
void child_started(ChildStart start, pid_t pid, uint16_t hook, const unwind::Registers& from);

/// Wraps a fork-like call, which returns the pid, −1 with errno, or 0 in the child.
template <class Call>
pid_t child_forking(uint16_t hook, const unwind::Registers& from, Call call) {
  ChildStart start = child_starting();
  pid_t pid = call();
  if (pid != 0) child_started(start, pid, hook, from);
  return pid;
}

/// A wait function has collected it.
void child_reaped(pid_t pid);

/// Children started after `serial` and not waited for.
int64_t child_live_since(uint32_t serial);

/// Allocates the tables, and enters the children that this program was exec'ed over.
bool prepare_children();
void reset_children_after_fork();

}  // namespace unfreed::track
