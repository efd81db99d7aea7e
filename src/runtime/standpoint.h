// Where the program stands when it asks for a report or a verdict, by a call or by a signal. What lies deeper on the
// stack are frames of this library, with pointers that earlier calls have left there: they are no roots.
#pragma once

#include <ucontext.h>

#include <cstdint>

#include "arch/signal_context.h"
#include "unwind/frame.h"

namespace unfreed::runtime {

struct Standpoint {
  uintptr_t sp;
  /// The memory that the program's registers were saved to.
  uintptr_t registers_low;
  uintptr_t registers_high;
  unwind::Registers walk_from;
  bool is_at_call;  ///< nothing below the stack pointer is in use
};

/// In the function that the program has called, before anything else: what the function has put on the stack for its
/// own use counts, everything else that it has to keep is in `kept`, which must outlive the standpoint.
[[gnu::always_inline]] inline Standpoint stand_at_call(uintptr_t (&kept)[arch::kKeptRegisters]) {
  arch::save_kept_registers(kept);
  auto low = reinterpret_cast<uintptr_t>(&kept);
  return {arch::current_stack_pointer(), low, low + sizeof kept, unwind::caller_registers(), true};
}

/// In a signal's handler.
inline Standpoint stand_at_signal(const ucontext_t& context) {
  return {arch::stack_pointer(context), reinterpret_cast<uintptr_t>(&context), arch::end_of_registers(context),
          arch::registers_of(context), false};
}

}  // namespace unfreed::runtime
