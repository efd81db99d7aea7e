// A thread of another process that is stopped in a system call and made to call functions. x86-64.
//
// A called function returns to libc's code behind signal handlers, which has the kernel put everything back: the stack
// there is as if a signal had come just before the system call.
//
//     top of the stack   ┌──────────────────────────────┐
//                        │ x87 and SSE registers        │
//                        │ registers, signal mask       │  what rt_sigreturn(2) reads
//                        │ address of rt_sigreturn's    │  where the function returns to
//                        │ frames of the function       │
//                        └──────────────────────────────┘
//
// The tracer stops the thread before rt_sigreturn, where it stays between two calls, and puts more back (the thread's
// errno, the memory). If the tracer is gone by then, or has let the thread go because the function takes too long, the
// thread finds back without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "arch/traced_registers.h"
#include "trace/safe_point.h"

namespace unfreed::trace {

/// A seized thread goes on untraced: from its last stop, as waitpid() has it, or from wherever it runs (kRuns). It runs
/// on traced if the kernel does not let it stop within two seconds.
void let_go(int tid, int status);
inline constexpr int kRuns = -1;  ///< no status of waitpid()'s
/// The same for one that the kernel did not let stop: if it has stopped since. False: it has not.
bool let_go_late(int tid);

class BorrowedThread {
 public:
  BorrowedThread() = default;
  /// Puts everything back.
  ~BorrowedThread() { give_back(); }
  BorrowedThread(const BorrowedThread&) = delete;
  BorrowedThread& operator=(const BorrowedThread&) = delete;

  /// Seizes `tid` and stops it, if it is at a safe point, or comes to one within a moment. False: it goes on as it was;
  /// `error` is an errno if the kernel refuses.
  bool borrow(int tid, SafePoint& safe_point, int& error);
  int tid() const { return tid_; }
  bool is_there() const { return tid_ != 0; }

  /// Memory of the thread's process, until give_back(). 0: there is none.
  uintptr_t place(const void* bytes, size_t size);
  uintptr_t place(const std::string& text) { return place(text.c_str(), text.size() + 1); }

  enum class Outcome : uint8_t {
    done,
    given_up,  ///< it would have waited for another thread in the loader: as if it had not been called
    failed,    ///< the thread is gone, or what it ran has failed
    left,      ///< it took too long: the thread is no longer borrowed, goes on with it, and then where it was
  };
  static constexpr uint64_t kMostToCallNs = 10'000'000'000;
  /// Calls `function`, whose result is lost.
  Outcome call(uintptr_t function, uint64_t first, uint64_t second);
  /// The same for what is about to take the loader's lock: it is given up if another thread holds that.
  Outcome call_loader(uintptr_t function, uint64_t first, uint64_t second, const SafePoint& safe_point);
  /// The same for what only computes a result.
  Outcome ask(uintptr_t function, uint64_t& result);

  /// Keeps the thread's errno. `location`: __errno_location().
  void keep_errno(uintptr_t location);
  /// The thread goes on where it was.
  void give_back();

 private:
  static constexpr uint64_t kStackBytes = 512 << 10, kDataBytes = 64 << 10;

  bool keep();
  bool set(const arch::TracedRegisters& registers) const;
  bool run_to_stop(int& status, uint64_t end_ns, bool& is_late);
  bool system_call(long number, const uint64_t (&arguments)[6], uint64_t& result);
  Outcome run_call(uintptr_t function, uint64_t first, uint64_t second, const SafePoint* loader, uint64_t* result);
  bool prepare_return(uintptr_t return_address);
  bool leave();
  bool park();
  bool leave_call_stop();
  bool finish_call_stop();
  /// Has run_call()'s function returned?
  bool is_back(const arch::TracedRegisters& registers, uintptr_t return_address) const;
  uintptr_t instruction() const { return registers_.raw.rip - kInstructionBytes; }
  uintptr_t top() const { return memory_ + kStackBytes - kReturnBytes; }
  /// The registers with which the thread makes its system call anew.
  arch::TracedRegisters before_call() const;
  static constexpr uintptr_t kInstructionBytes = 2;
  static constexpr uint64_t kReturnBytes = 2048;

  int tid_ = 0;
  uintptr_t sigreturn_ = 0;      ///< libc's code behind signal handlers
  bool is_before_call_ = false;  ///< stopped where the call begins; else in the middle of it
  bool is_at_call_ = false;      ///< at a stop of the system call of our own
  arch::TracedRegisters registers_;
  std::vector<std::byte> vectors_;
  uint64_t signals_ = 0;
  uintptr_t memory_ = 0;
  size_t used_ = 0;
  uintptr_t errno_place_ = 0;
  int errno_ = 0;
};

}  // namespace unfreed::trace
