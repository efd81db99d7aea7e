// The types of the unwinder: the registers that a walk starts from, the memory that it may read, and its result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arch/registers.h"

namespace unfreed::unwind {

/// The registers of a function at the time its callee returns: where a walk starts.
struct Registers {
  uintptr_t pc;  ///< a return address, unless `exact_pc`
  uintptr_t sp;
  uintptr_t bp;
  bool exact_pc = false;  ///< pc is an instruction's own address (taken from a signal's saved context)
  bool knows_bp = true;   ///< false: bp is not known (the kernel tells of another thread's pc and sp only)
  [[no_unique_address]] arch::MoreRegisters more = {};
};

/// The memory a walk may read: [low, high).
struct StackBounds {
  uintptr_t low;
  uintptr_t high;
  intptr_t shift = 0;  ///< what to add to an address to find it: not 0 for a copy of the memory
  bool contains(uintptr_t address, size_t bytes) const {
    return address >= low && address < high && high - address >= bytes;
  }
};

/// One physical frame.
struct Frame {
  uintptr_t pc;
  uint32_t module;  ///< number given by the module callback; 0 unknown
  bool exact_pc;
  bool is_owned = false;  ///< what it allocates belongs to what a hooked function makes (owning_call.h)
};

/// A word of stack that a walk's result depended on.
struct Slot {
  uintptr_t address;
  uintptr_t value;
};

/// What a walk read, innermost first, so that the same stack can be recognised without walking: as long as every slot
/// has its value, a walk from the same registers has the same result.
struct SlotLog {
  Slot* slots = nullptr;
  size_t capacity = 0;
  size_t size = 0;
  bool overflowed = false;
  /// Holds the first registers' bp: the address that represents that register if the walk used it. Set by a caller that
  /// wants the log, if there is such an address.
  const uintptr_t* initial_bp = nullptr;
  bool depends_on_bp = false;  ///< on the first registers' bp, too, and no initial_bp stands for it
  bool verifiable = true;      ///< false when the walk depended on more than these words
  void add(uintptr_t address, uintptr_t value) {
    if (size < capacity)
      slots[size++] = {address, value};
    else
      overflowed = true;
  }
};

struct WalkResult {
  size_t frames = 0;
  bool truncated = false;       ///< outer frames are missing or guessed
  bool followed_guess = false;  ///< words were read that nothing but a guess led to
};

}  // namespace unfreed::unwind

#include "arch/hook_frame.h"

namespace unfreed::unwind {

/// The registers of the caller of the function this is inlined into.
[[gnu::always_inline]] inline Registers caller_registers() { return caller_registers(hook_frame()); }

}  // namespace unfreed::unwind
