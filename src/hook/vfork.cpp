// vfork. Until it calls exec or _exit the child runs on the parent's memory, this library's tables included: what it
// closes and duplicates are its own descriptors, and must not be taken for the parent's.
//
// No C function can wrap vfork, which returns twice from one frame. So this is vfork itself, as libc has it: the return
// address is kept in a register over the system call, and a note is made on either return.
#include <cerrno>

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

extern "C" __attribute__((visibility("hidden"), used)) long unfreed_vfork_returned(long result, uintptr_t* stack,
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
                                  hook_number(unfreed::hook::Hook::vfork),
                                  {stack[0], reinterpret_cast<uintptr_t>(stack + 1), bp});
  return failed ? -1 : result;
}

#if !defined(__x86_64__)
// Elsewhere vfork becomes what POSIX lets it be: fork. Slower, and safe.
#include <unistd.h>
extern "C" __attribute__((visibility("default"))) pid_t vfork() noexcept { return fork(); }
extern "C" __attribute__((visibility("default"))) pid_t __vfork() noexcept { return fork(); }
#else
asm(R"(
    .text
    .globl vfork
    .globl __vfork
    .type vfork, @function
    .type __vfork, @function
vfork:
__vfork:
    .cfi_startproc
    endbr64
    subq $8, %rsp               # calls want the stack aligned
    .cfi_adjust_cfa_offset 8
    call unfreed_vfork_starting
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdi
    movl $58, %eax              # SYS_vfork; keeps rdi
    syscall
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rip, 0
    movq %rsp, %rsi             # where the return address lies
    movq %rbp, %rdx
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq %rax, %rdi
    call unfreed_vfork_returned
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size vfork, . - vfork
    .size __vfork, . - __vfork
)");
#endif
