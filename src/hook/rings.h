// io_uring. Shared by fd_ring.cpp and syscall().
#pragma once

#include <cstdint>

#include "hook/real.h"
#include "unwind/frame.h"

namespace unfreed::hook {

inline constexpr uint32_t kRegisteredFdOnly = 1u << 15;  ///< of io_uring_setup, Linux 6.5: there is no descriptor

/// io_uring_setup, or liburing's, has failed: `error` is -EMFILE or -ENFILE.
void ring_limit_met(long error, Hook hook, const unwind::Registers& from);

}  // namespace unfreed::hook
