// Where a thread waits in the kernel, by the kernel's word (/proc/PID/task/TID/syscall): nothing is stopped or
// signalled. Async-signal-safe.
#pragma once

#include <cstdint>

namespace unfreed::base {

enum class Waiting : uint8_t {
  yes,
  runs,     ///< or is gone
  refused,  ///< the kernel does not say
};

struct WaitingCall {
  long number = -1;  ///< of the system call; −1: it waits elsewhere in the kernel
  uint64_t arguments[6] = {};
  uintptr_t sp = 0;
  uintptr_t pc = 0;
  bool operator==(const WaitingCall&) const = default;
};

/// `pid`: of the process, 0 for this one.
Waiting read_waiting_call(int pid, int tid, WaitingCall& out);

/// Which call it is, in 32 bits: its number, and a hash of its arguments and its place. 0: it is none.
uint32_t digest(const WaitingCall& call);
/// −1: of none.
long number_in(uint32_t digest);

}  // namespace unfreed::base
