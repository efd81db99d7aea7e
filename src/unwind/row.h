// How to get from a frame to its caller: one row of the call frame information (CFI) table, reduced to what a walk
// needs on x86-64: the canonical frame address (CFA), the return address just below it, and the caller's rbp.
#pragma once

#include <cstdint>

namespace unfreed::unwind {

enum class CfaRule : uint8_t {
  none = 0,    ///< no usable unwind information: try the frame pointer
  sp = 1,      ///< rsp + offset
  bp = 2,      ///< rbp + offset
  at_bp = 3,   ///< *(rbp + offset): functions that realign their stack
  at_sp = 4,   ///< *(rsp + offset)
  plt = 5,     ///< rsp + 8, plus 8 from byte 11 of a PLT entry on
  signal = 6,  ///< a signal frame: registers lie in the ucontext at rsp
  end = 7,     ///< the outermost frame
};

enum class BpRule : uint8_t {
  same = 0,
  at_cfa = 1,  ///< saved at CFA + offset
  at_bp = 2,   ///< saved at rbp + offset
};

struct Row {
  CfaRule cfa = CfaRule::none;
  BpRule bp = BpRule::same;
  int32_t cfa_offset = 0;  ///< bytes, multiple of 8
  int32_t bp_offset = 0;   ///< bytes, multiple of 8
  uint32_t module = 0;     ///< of the code; at most 65,535

  /// One word: module 16 | bp_offset/8 20 | cfa_offset/8 22 | bp 2 | cfa 4.
  uint64_t pack() const {
    return uint64_t{module & 0xffff} << 48 | (static_cast<uint64_t>(bp_offset / 8) & 0xfffff) << 28 |
           (static_cast<uint64_t>(cfa_offset / 8) & 0x3fffff) << 6 | uint64_t{static_cast<uint8_t>(bp)} << 4 |
           static_cast<uint8_t>(cfa);
  }
  static Row unpack(uint64_t word) {
    Row row;
    row.module = static_cast<uint32_t>(word >> 48);
    row.bp_offset = static_cast<int32_t>(static_cast<int64_t>(word << 16) >> 44) * 8;
    row.cfa_offset = static_cast<int32_t>(static_cast<int64_t>(word << 36) >> 42) * 8;
    row.bp = static_cast<BpRule>(word >> 4 & 3);
    row.cfa = static_cast<CfaRule>(word & 15);
    return row;
  }
  /// Do the offsets fit the packed form?
  static bool fits(int64_t cfa_offset, int64_t bp_offset) {
    return cfa_offset % 8 == 0 && bp_offset % 8 == 0 && cfa_offset >= -(1 << 20) && cfa_offset < (1 << 23) &&
           bp_offset >= -(1 << 21) && bp_offset < (1 << 21);
  }
};

}  // namespace unfreed::unwind
