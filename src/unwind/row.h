// How to get from a frame to its caller: one row of the call frame information (CFI) table, reduced to what a walk
// needs: the canonical frame address (CFA), the return address, and the caller's frame pointer (bp: rbp, x29).
#pragma once

#include <cstdint>

namespace unfreed::unwind {

enum class CfaRule : uint8_t {
  none = 0,    ///< no usable unwind information: try the frame pointer
  sp = 1,      ///< sp + offset
  bp = 2,      ///< bp + offset
  at_bp = 3,   ///< *(bp + offset): functions that realign their stack
  at_sp = 4,   ///< *(sp + offset)
  plt = 5,     ///< x86-64: sp + 8, plus 8 from byte 11 of a PLT entry on
  signal = 6,  ///< a signal frame: registers lie in the ucontext at sp
  end = 7,     ///< the outermost frame
};

enum class BpRule : uint8_t {
  same = 0,
  at_cfa = 1,  ///< saved at CFA + offset
  at_bp = 2,   ///< saved at bp + offset
};

enum class ReturnRule : uint8_t {
  at_cfa = 0,   ///< saved at CFA + offset
  in_link = 1,  ///< in the link register, of a processor that has one: only the innermost function's is
};

struct Row {
  CfaRule cfa = CfaRule::none;
  BpRule bp = BpRule::same;
  int32_t cfa_offset = 0;  ///< bytes, multiple of 8
  int32_t bp_offset = 0;   ///< bytes, multiple of 8
  uint32_t module = 0;     ///< of the code; at most 65,535
  int32_t return_offset = -8;
  ReturnRule returns = ReturnRule::at_cfa;

  /// The code has been read, and does not tell either (code_row.h).
  bool is_read_in_vain() const { return cfa == CfaRule::none && cfa_offset == kReadInVain; }
  static constexpr int32_t kReadInVain = 8;

  /// One word.
  uint64_t pack() const;
  static Row unpack(uint64_t word);
  /// Do the offsets fit the packed form?
  bool fits() const;
};

}  // namespace unfreed::unwind

#include "arch/packed_row.h"
