// A call on another stack that can be left from within, by a signal handler: x86-64. For base/bounded_call.cpp alone.
#pragma once

#include <cstddef>

namespace unfreed::base {

// unfreed_enter_stack(top, body, argument, way_back): body(argument) on the stack that ends at `top`. *way_back is what
// unfreed_leave_stack needs to return in its place. Where shadow stacks are on, the frames that are left are dropped
// from there, too.
asm(R"(
  .text
  .hidden unfreed_enter_stack
  .globl unfreed_enter_stack
  .type unfreed_enter_stack, @function
unfreed_enter_stack:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  xorl %eax, %eax
  rdsspq %rax
  pushq %rax
  movq %rbp, (%rcx)
  movq %rdi, %rsp
  movq %rdx, %rdi
  call *%rsi
.Lunfreed_return_from_stack:
  leaq -40(%rbp), %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
  .size unfreed_enter_stack, . - unfreed_enter_stack

  .hidden unfreed_leave_stack
  .globl unfreed_leave_stack
  .type unfreed_leave_stack, @function
unfreed_leave_stack:
  endbr64
  movq %rdi, %rbp
  xorl %eax, %eax
  rdsspq %rax
  movq -48(%rbp), %rdx
  testq %rax, %rax
  jz .Lunfreed_return_from_stack
  subq %rax, %rdx
  shrq $3, %rdx
1:
  testq %rdx, %rdx
  jz .Lunfreed_return_from_stack
  movl $255, %ecx
  cmpq %rcx, %rdx
  cmovbq %rdx, %rcx
  incsspq %rcx
  subq %rcx, %rdx
  jmp 1b
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
