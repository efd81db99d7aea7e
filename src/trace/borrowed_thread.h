// A thread of another process that is stopped in a system call and made to call functions. x86-64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "arch/traced_registers.h"
#include "trace/safe_point.h"

namespace unfreed::trace {

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
  };
  /// Calls `function`.
  Outcome call(uintptr_t function, uint64_t first, uint64_t second, uint64_t& result);
  /// The same for what is about to take the loader's lock: it is given up if another thread holds that.
  Outcome call_loader(uintptr_t function, uint64_t first, uint64_t second, const SafePoint& safe_point,
                      uint64_t& result);

  /// Keeps the thread's errno. `location`: __errno_location().
  void keep_errno(uintptr_t location);
  /// The thread goes on where it was.
  void give_back();

 private:
  static constexpr uint64_t kStackBytes = 512 << 10, kDataBytes = 64 << 10;

  bool keep();
  bool set(const arch::TracedRegisters& registers) const;
  bool run_to_stop(int& status);
  bool system_call(long number, const uint64_t (&arguments)[6], uint64_t& result);
  Outcome run_call(uintptr_t function, uint64_t first, uint64_t second, const SafePoint* loader, uint64_t& result);
  bool finish_call_stop();
  uintptr_t instruction() const { return registers_.raw.rip - kInstructionBytes; }
  static constexpr uintptr_t kInstructionBytes = 2;

  int tid_ = 0;
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
