// What the tracer does when it cannot go on: it lets its processes run as if they were not traced. Their filtered calls
// would fail (ENOSYS) without a tracer, so it stays until the last of them has ended.
#pragma once

namespace unfreed::trace {

/// Does not return. Allocates nothing, uses no state: also from a handler of its own faults.
[[noreturn]] void pass_through();

/// The process that is stopped while it is looked at, and what waitpid() said; 0: none. It is let go first.
void set_stopped(int tid, int status);

/// Goes over to that on SIGSEGV and the like.
void pass_through_after_fault();

/// How a stopped process goes on if nothing is to be seen of it: `status` is what waitpid() said. False: it has ended.
bool resume_unseen(int tid, int status);

}  // namespace unfreed::trace
