// vfork. Until it calls exec or _exit the child runs on the parent's memory, this library's tables included: what it
// closes and duplicates are its own descriptors, and must not be taken for the parent's.
//
// No C function can wrap vfork, which returns twice from one frame. So this is vfork itself, as libc has it: the return
// address is kept in a register over the system call, and a note is made on either return.
#include <cerrno>

#include "base/syscall.h"
#include "track/thread_state.h"

using unfreed::track::t_local;

extern "C" __attribute__((visibility("hidden"), used)) long unfreed_vfork_returned(long result) {
  if (result == 0) {
    ++t_local.in_vfork_child;
    t_local.active = nullptr;
    return 0;
  }
  // Where vfork is a plain fork in disguise (emulators), the child's note was made in memory of its own.
  if (t_local.in_vfork_child) --t_local.in_vfork_child;
  unfreed::track::refresh_active();
  if (!unfreed::base::is_error(result)) return result;
  errno = static_cast<int>(-result);
  return -1;
}

#if !defined(__x86_64__)
// Elsewhere vfork becomes what POSIX lets it be: fork. Slower, and safe.
#include <unistd.h>
extern "C" __attribute__((visibility("default"))) pid_t vfork() noexcept { return fork(); }
#else
asm(R"(
    .text
    .globl vfork
    .type vfork, @function
vfork:
    .cfi_startproc
    endbr64
    popq %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdi
    movl $58, %eax              # SYS_vfork; keeps rdi
    syscall
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rip, 0
    subq $8, %rsp               # calls want the stack aligned
    .cfi_adjust_cfa_offset 8
    movq %rax, %rdi
    call unfreed_vfork_returned
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size vfork, . - vfork
)");
#endif
