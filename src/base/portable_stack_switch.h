// arch/stack_switch.h by ucontext and sigsetjmp. Only for bounded_call.cpp.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>

namespace unfreed::base {

namespace {

struct StackSwitch {
  sigjmp_buf out;
  ucontext_t here;
  ucontext_t there;
  void (*body)(void*);
  void* argument;
};

StackSwitch* g_stack_switch;  // makecontext passes on integers alone

void enter_stack(std::byte* stack, size_t bytes, void (*body)(void*), void* argument, void** way_back) {
  StackSwitch stack_switch;
  stack_switch.body = body;
  stack_switch.argument = argument;
  g_stack_switch = &stack_switch;
  *way_back = &stack_switch;
  getcontext(&stack_switch.there);
  stack_switch.there.uc_stack.ss_sp = stack;
  stack_switch.there.uc_stack.ss_size = bytes;
  stack_switch.there.uc_link = &stack_switch.here;
  makecontext(
      &stack_switch.there, [] { g_stack_switch->body(g_stack_switch->argument); }, 0);
  if (sigsetjmp(stack_switch.out, 0) == 0) swapcontext(&stack_switch.here, &stack_switch.there);
}

[[noreturn, gnu::no_sanitize_address]] void leave_stack(void* way_back) {
  siglongjmp(static_cast<StackSwitch*>(way_back)->out, 1);
}

}  // namespace

}  // namespace unfreed::base
