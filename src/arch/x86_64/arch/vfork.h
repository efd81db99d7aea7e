// vfork itself: x86-64. Included by hook/vfork.cpp, which defines what it calls.
#pragma once

#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::arch {

/// The registers of vfork's caller. `saved`: the return address, in the word below its sp.
inline unwind::Registers vfork_caller(const uintptr_t* saved, uintptr_t bp) {
  return {saved[0], reinterpret_cast<uintptr_t>(saved + 1), bp};
}

}  // namespace unfreed::arch

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
