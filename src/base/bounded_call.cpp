#include "base/bounded_call.h"

#include <sys/mman.h>
#include <sys/time.h>

#include <atomic>

#include "base/syscall.h"

#if !defined(__x86_64__) || defined(UNFREED_PORTABLE_STACKS)
#include <setjmp.h>
#include <ucontext.h>
#endif

namespace unfreed::base {

namespace {

constexpr size_t kGuardBytes = 64 * 1024;

/// The one whose body runs, for the signal handler.
BoundedCall* volatile g_running;

}  // namespace

#if defined(__x86_64__) && !defined(UNFREED_PORTABLE_STACKS)

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

#else

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

#endif

BoundedCall::~BoundedCall() {
  give_signal_back();
  if (stack_) unmap_memory(stack_, stack_bytes_);
}

bool BoundedCall::reserve(size_t stack_bytes) {
  size_t bytes = stack_bytes + kGuardBytes;
  if (bytes <= stack_bytes_) return true;
  auto* stack = static_cast<std::byte*>(map_memory(bytes));
  if (!stack) return false;
  raw_syscall(SYS_mprotect, reinterpret_cast<long>(stack), kGuardBytes, PROT_NONE);
  // The little that is used of it is not worth a huge page.
  raw_syscall(SYS_madvise, reinterpret_cast<long>(stack), static_cast<long>(bytes), MADV_NOHUGEPAGE);
  if (stack_) unmap_memory(stack_, stack_bytes_);
  stack_ = stack;
  stack_bytes_ = bytes;
  return true;
}

void BoundedCall::take_signal() {
  if (has_signal_) return;
  struct sigaction action {};
  action.sa_handler = on_timer;
  // The handler may leave without returning: the signal is not to stay blocked then.
  action.sa_flags = SA_RESTART | SA_NODEFER;
  has_signal_ = sigaction(SIGVTALRM, &action, &action_before_) == 0;
  uint64_t mask = uint64_t{1} << (SIGVTALRM - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, reinterpret_cast<long>(&mask), reinterpret_cast<long>(&mask_before_), 8);
}

void BoundedCall::give_signal_back() {
  if (!has_signal_) return;
  uint64_t mask = uint64_t{1} << (SIGVTALRM - 1);
  if (mask_before_ & mask) raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, reinterpret_cast<long>(&mask), 0, 8);
  sigaction(SIGVTALRM, &action_before_, nullptr);
  has_signal_ = false;
}

bool BoundedCall::run(void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  take_signal();
  g_running = this;
  itimerval limit{{0, kMostMicroseconds}, {0, kMostMicroseconds}};
  itimerval none{};
  raw_syscall(SYS_setitimer, ITIMER_VIRTUAL, reinterpret_cast<long>(&limit), 0);
  enter_stack(stack_, stack_bytes_, begin, this, &way_back_);
  raw_syscall(SYS_setitimer, ITIMER_VIRTUAL, reinterpret_cast<long>(&none), 0);
  g_running = nullptr;
  bool has_returned = body_ == nullptr;
  return has_returned;
}

void BoundedCall::begin(void* self) {
  auto& call = *static_cast<BoundedCall*>(self);
  call.inside_ = 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  call.body_(call.argument_);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  call.inside_ = 0;
  call.body_ = nullptr;
}

// Neither returns to the frames between, which AddressSanitizer would look for on the thread's own stack.
[[gnu::no_sanitize_address]] void BoundedCall::stop() {
  inside_ = 0;
  leave_stack(way_back_);
}

[[gnu::no_sanitize_address]] void BoundedCall::on_timer(int) {
  BoundedCall* running = g_running;
  if (running && running->inside_) running->stop();
}

}  // namespace unfreed::base
