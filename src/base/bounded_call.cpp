#include "base/bounded_call.h"

#include <sys/mman.h>
#include <sys/time.h>

#include <atomic>
#include <iterator>

#include "arch/stack_switch.h"
#include "base/signal_action.h"
#include "base/syscall.h"

namespace unfreed::base {

namespace {

constexpr size_t kGuardBytes = 64 * 1024;

constexpr int kFaults[] = {SIGSEGV, SIGBUS};

/// For the signal handler: the innermost one whose body runs, and the one that is stopped at faults.
BoundedCall* volatile g_running;
BoundedCall* volatile g_stopping_at_faults;

}  // namespace

BoundedCall::~BoundedCall() {
  if (stops_at_faults_) {
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&faults_mask_before_), 0, 8);
    for (size_t at = 0; at < std::size(kFaults); ++at) set_signal_action(kFaults[at], faults_before_[at], nullptr);
    g_stopping_at_faults = stopping_before_;
  }
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
  // The handler may leave without returning: the signal is not to stay blocked then.
  has_signal_ =
      set_signal_action(SIGVTALRM, {on_signal, SA_SIGINFO | SA_RESTART | SA_NODEFER, nullptr, 0}, &action_before_);
  uint64_t mask = uint64_t{1} << (SIGVTALRM - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, reinterpret_cast<long>(&mask), reinterpret_cast<long>(&mask_before_), 8);
}

void BoundedCall::give_signal_back() {
  if (!has_signal_) return;
  uint64_t mask = uint64_t{1} << (SIGVTALRM - 1);
  if (mask_before_ & mask) raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, reinterpret_cast<long>(&mask), 0, 8);
  set_signal_action(SIGVTALRM, action_before_, nullptr);
  has_signal_ = false;
}

void BoundedCall::stop_at_faults() {
  stopping_before_ = g_stopping_at_faults;
  g_stopping_at_faults = this;
  for (size_t at = 0; at < std::size(kFaults); ++at)
    set_signal_action(kFaults[at], {on_signal, SA_SIGINFO | SA_NODEFER, nullptr, 0}, &faults_before_[at]);
  // A fault while its signal is blocked is the end.
  uint64_t mask = 0;
  for (int fault : kFaults) mask |= uint64_t{1} << (fault - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, reinterpret_cast<long>(&mask),
              reinterpret_cast<long>(&faults_mask_before_), 8);
  stops_at_faults_ = true;
}

bool BoundedCall::run(void (*body)(void*), void* argument, long most_microseconds) {
  body_ = body;
  argument_ = argument;
  take_signal();
  BoundedCall* around = g_running;
  g_running = this;
  constexpr long kSecond = 1'000'000;
  timeval most{most_microseconds / kSecond, most_microseconds % kSecond};
  itimerval limit{most, most};
  itimerval before{};
  raw_syscall(SYS_setitimer, ITIMER_VIRTUAL, reinterpret_cast<long>(&limit), reinterpret_cast<long>(&before));
  enter_stack(stack_, stack_bytes_, begin, this, &way_back_);
  if (!around) before = {};
  raw_syscall(SYS_setitimer, ITIMER_VIRTUAL, reinterpret_cast<long>(&before), 0);
  g_running = around;
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

[[gnu::no_sanitize_address]] void BoundedCall::on_signal(int signal, siginfo_t* about, void*) {
  BoundedCall* running = g_running;
  // One that somebody has sent (kill) is no fault of the body's, and ends the process as it would have without us.
  bool is_sent = about->si_code <= 0 && signal != SIGVTALRM;
  if (running && running->inside_ && !is_sent) running->stop();
  // A fault of somebody else's happens again at once, and then as it would have without us.
  BoundedCall* stopping = g_stopping_at_faults;
  for (size_t at = 0; stopping && at < std::size(kFaults); ++at)
    if (signal == kFaults[at]) set_signal_action(signal, stopping->faults_before_[at], nullptr);
  if (is_sent) raw_syscall(SYS_tgkill, current_pid(), current_tid(), signal);
}

}  // namespace unfreed::base
