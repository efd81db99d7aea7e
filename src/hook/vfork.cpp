// vfork. Until it calls exec or _exit the child runs on the parent's memory, this library's tables included: what it
// closes and duplicates are its own descriptors, and must not be taken for the parent's.
//
// No C function can wrap vfork, which returns twice from one frame. So this is vfork itself, as libc has it: the return
// address is kept in a register over the system call, and a note is made on either return.
#include <cerrno>

#include "arch/vfork.h"
#include "base/syscall.h"
#include "hook/real.h"
#include "track/children.h"
#include "track/thread_state.h"

namespace {
/// The child runs on the same thread-local storage, but never writes this.
thread_local constinit unfreed::track::ChildStart t_start{};
}  // namespace

extern "C" __attribute__((visibility("hidden"), used)) void unfreed_vfork_starting() {
  unfreed::track::lend_memory();
  if (!unfreed::track::in_vfork_child()) t_start = unfreed::track::child_starting();
}

extern "C" __attribute__((visibility("hidden"), used)) long unfreed_vfork_returned(long result, const uintptr_t* saved,
                                                                                   uintptr_t bp) {
  if (result == 0) {
    unfreed::track::enter_vfork_child();
    return 0;
  }
  bool failed = unfreed::base::is_error(result);
  bool is_child_itself = unfreed::track::back_from_vfork_child();
  if (failed) errno = static_cast<int>(-result);
  if (!is_child_itself)
    unfreed::track::child_started(t_start, failed ? -1 : static_cast<pid_t>(result),
                                  hook_number(unfreed::hook::Hook::vfork), unfreed::arch::vfork_caller(saved, bp));
  return failed ? -1 : result;
}
