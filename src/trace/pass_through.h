// What the tracer does when it cannot go on: it lets its processes run as if they were not traced. Their filtered calls
// would fail (ENOSYS) without a tracer, so it stays until the last of them has ended.
#pragma once

namespace unfreed::trace {

/// Shared with the launcher, which learns by it that processes went on untracked. nullptr: nobody is told.
extern volatile bool* g_has_given_up;

/// Does not return. Allocates nothing, uses no state: also from a handler of its own faults.
[[noreturn]] void pass_through();

/// A thread that is stopped, by what waitpid() said, and that nobody else would let go on: from hold() until
/// let_go(), which forgets it, after it has been resumed or before it is held anew. False: there is no room.
bool hold(int tid, int status);
void let_go(int tid);

/// Goes over to that on a fault (SIGSEGV …). What another process sends is ignored.
void pass_through_after_fault();

/// How a stopped process goes on if nothing is to be seen of it: `status` is what waitpid() said. False: it has ended.
bool resume_unseen(int tid, int status);

}  // namespace unfreed::trace
