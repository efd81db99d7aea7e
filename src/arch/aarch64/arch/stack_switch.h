// A call on another stack that can be left from within, by a signal handler: AArch64. For base/bounded_call.cpp alone.
#pragma once

#include <cstddef>

namespace unfreed::base {

// unfreed_enter_stack(top, body, argument, way_back): body(argument) on the stack that ends at `top`. *way_back is what
// unfreed_leave_stack needs to return in its place.
asm(R"(
  .text
  .hidden unfreed_enter_stack
  .globl unfreed_enter_stack
  .type unfreed_enter_stack, %function
unfreed_enter_stack:
  .cfi_startproc
  hint #34                      // bti c
  stp x29, x30, [sp, #-160]!
  .cfi_def_cfa_offset 160
  .cfi_offset x29, -160
  .cfi_offset x30, -152
  mov x29, sp
  .cfi_def_cfa_register x29
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  str x29, [x3]
  mov sp, x0
  mov x0, x2
  blr x1
.Lunfreed_return_from_stack:
  mov sp, x29
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  .cfi_def_cfa_register sp
  ldp x29, x30, [sp], #160
  .cfi_restore x29
  .cfi_restore x30
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size unfreed_enter_stack, . - unfreed_enter_stack

  .hidden unfreed_leave_stack
  .globl unfreed_leave_stack
  .type unfreed_leave_stack, %function
unfreed_leave_stack:
  hint #34
  mov x29, x0
  b .Lunfreed_return_from_stack
  .size unfreed_leave_stack, . - unfreed_leave_stack
)");

extern "C" void unfreed_enter_stack(void* top, void (*body)(void*), void* argument, void** way_back);
extern "C" [[noreturn]] void unfreed_leave_stack(void* way_back);

namespace {
void enter_stack(std::byte* stack, size_t bytes, void (*body)(void*), void* argument, void** way_back) {
  unfreed_enter_stack(stack + bytes, body, argument, way_back);
}
[[noreturn, gnu::no_sanitize_address]] void leave_stack(void* way_back) { unfreed_leave_stack(way_back); }
}  // namespace

}  // namespace unfreed::base
