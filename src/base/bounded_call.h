// Runs foreign code that may need much stack, or never end: on a stack of its own, for a bounded time, and
// with a way out from anywhere inside it.
//
//     run() ── our stack ──▶ body(argument) ── mapped stack ──▶ … ──▶ returns: true
//                              │                                └──▶ stop(), or the time is up: false
//                              ▼ its stack is abandoned: no destructors run, nothing is released
//
// The limit is in processor time, measured by ITIMER_VIRTUAL: the object uses SIGVTALRM and the timer while it
// lives; its destructor gives the signal back, and the timer is off. So it is for processes of our own (the command,
// and the copy of a process in which the runtime writes a report), and for the only thread of a tracked program that
// has ended. Async-signal-safe; one at a time in a process, or one within the body of another, whose time stands still
// meanwhile.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>

#include "base/signal_action.h"

namespace unfreed::base {

class BoundedCall {
 public:
  BoundedCall() = default;
  ~BoundedCall();
  BoundedCall(const BoundedCall&) = delete;
  BoundedCall& operator=(const BoundedCall&) = delete;

  /// The time limit of a body: real work of this kind takes microseconds. The kernel checks once a tick (1 to 10 ms).
  static constexpr long kMostMicroseconds = 20'000;

  /// Provides a stack of that many bytes. False: there is no memory for it, and run() must not be called.
  bool reserve(size_t stack_bytes);

  /// Runs `body`. False: it was stopped.
  bool run(void (*body)(void*), void* argument, long most_microseconds = kMostMicroseconds);

  /// From now on a body that touches memory which is not there (SIGSEGV, SIGBUS) is stopped, too. Until the object
  /// goes, no other thread of the process may run.
  void stop_at_faults();

  /// Ends run() from within the body. Callers must be no_sanitize_address, which does not know this stack.
  [[noreturn]] void stop();

 private:
  static void begin(void* self);
  static void on_signal(int, siginfo_t*, void*);
  void take_signal();
  void give_signal_back();

  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  std::byte* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* way_back_ = nullptr;          ///< where run() waits on the stack before
  volatile sig_atomic_t inside_ = 0;  ///< the body runs, so that there is something to stop
  bool has_signal_ = false;
  bool stops_at_faults_ = false;
  SignalAction faults_before_[2];
  BoundedCall* stopping_before_ = nullptr;
  uint64_t faults_mask_before_ = 0;
  SignalAction action_before_;
  uint64_t mask_before_ = 0;
};

}  // namespace unfreed::base
