// vfork itself: AArch64. Included by hook/vfork.cpp, which defines what it calls.
#pragma once

#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::arch {

/// The registers of vfork's caller. `saved`: its frame pointer and the return address, in the two words below its sp.
inline unwind::Registers vfork_caller(const uintptr_t* saved, uintptr_t) {
  return {saved[1], reinterpret_cast<uintptr_t>(saved + 2), saved[0], false, true, {0, saved}};
}

}  // namespace unfreed::arch

asm(R"(
    .text
    .globl vfork
    .globl __vfork
    .type vfork, %function
    .type __vfork, %function
vfork:
__vfork:
    .cfi_startproc
    hint #34                    // bti c
    stp x29, x30, [sp, #-16]!
    .cfi_def_cfa_offset 16
    .cfi_offset x29, -16
    .cfi_offset x30, -8
    mov x29, sp
    bl unfreed_vfork_starting
    ldp x29, x30, [sp], #16     // kept in the registers over the system call
    .cfi_restore x29
    .cfi_restore x30
    .cfi_def_cfa_offset 0
    mov x0, #0x4111             // CLONE_VM | CLONE_VFORK | SIGCHLD
    mov x1, sp
    mov x8, #220                // SYS_clone
    svc #0
    stp x29, x30, [sp, #-16]!
    .cfi_def_cfa_offset 16
    .cfi_offset x29, -16
    .cfi_offset x30, -8
    mov x29, sp
    mov x1, sp
    bl unfreed_vfork_returned
    ldp x29, x30, [sp], #16
    .cfi_restore x29
    .cfi_restore x30
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size vfork, . - vfork
    .size __vfork, . - __vfork
)");
