// The stack of a thread that waits in a system call, of this process or another: the kernel gives such a thread's
// registers, and lets its stack be read. Nothing is stopped or signalled. Async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "unwind/frame.h"

namespace unfreed::unwind {

/// The largest part of a stack that is read.
inline constexpr size_t kMostWaitingBytes = 256 * 1024;

struct WaitingThread {
  int pid;  ///< 0: this process
  int tid;
  uintptr_t stack_low;  ///< of its own stack; it may be on another one, of unknown bounds
  uintptr_t stack_high;
};

enum class WaitingWalk : uint8_t {
  done,
  moves,    ///< it does not wait, has moved on meanwhile, or is gone
  refused,  ///< the kernel does not tell us
};

/// Walks a copy of its stack, made in `memory`; otherwise as walk().
WaitingWalk walk_waiting(const WaitingThread& thread, std::span<std::byte, kMostWaitingBytes> memory,
                         uint32_t own_module, std::span<Frame> frames, WalkResult& result);

}  // namespace unfreed::unwind
