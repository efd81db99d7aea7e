// One instruction of x86-64: its length, and what it does to the stack and to the order of execution.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace unfreed::arch {

struct Instruction {
  enum class Effect : uint8_t {
    none,       ///< goes on behind it; so do calls, which leave the stack as it was
    moves_sp,   ///< rsp += value
    pops_bp,    ///< pops rbp
    sp_is_bp,   ///< rsp = rbp + value
    bp_is_sp,   ///< rbp = rsp
    leaves,     ///< rsp = rbp, then pops rbp
    returns,    ///< also by a jump to what a pointer leads to: that function returns, or the code goes on in a table's
                ///< case
    jumps,      ///< goes on at `target`
    branches,   ///< goes on behind it or at `target`
    stops,      ///< never goes on (hlt, ud2 …)
    loses_sp,   ///< rsp becomes what the instruction does not show
    not_known,  ///< none that compilers make, or newer than this
  };
  Effect effect = Effect::not_known;
  bool calls = false;  ///< effect none: a call
  uint8_t bytes = 0;   ///< its length; 0: not known
  intptr_t value = 0;
  intptr_t target = 0;  ///< from the end of the instruction
};

inline constexpr size_t kLongestInstruction = 15;

/// The instruction that `code` begins with.
Instruction decode(std::span<const uint8_t> code);

}  // namespace unfreed::arch
