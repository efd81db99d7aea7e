// A row in one word: x86-64, where the return address is the word below the CFA. Part of unwind/row.h.
//
//     module 16 | bp_offset/8 20 | cfa_offset/8 22 | bp 2 | cfa 4
#pragma once

namespace unfreed::unwind {

inline uint64_t Row::pack() const {
  return uint64_t{module & 0xffff} << 48 | (static_cast<uint64_t>(bp_offset / 8) & 0xfffff) << 28 |
         (static_cast<uint64_t>(cfa_offset / 8) & 0x3fffff) << 6 | uint64_t{static_cast<uint8_t>(bp)} << 4 |
         static_cast<uint8_t>(cfa);
}
inline Row Row::unpack(uint64_t word) {
  Row row;
  row.module = static_cast<uint32_t>(word >> 48);
  row.bp_offset = static_cast<int32_t>(static_cast<int64_t>(word << 16) >> 44) * 8;
  row.cfa_offset = static_cast<int32_t>(static_cast<int64_t>(word << 36) >> 42) * 8;
  row.bp = static_cast<BpRule>(word >> 4 & 3);
  row.cfa = static_cast<CfaRule>(word & 15);
  return row;
}
inline bool Row::fits() const {
  return returns == ReturnRule::at_cfa && return_offset == -8 && cfa_offset % 8 == 0 && bp_offset % 8 == 0 &&
         cfa_offset >= -(1 << 20) && cfa_offset < (1 << 23) && bp_offset >= -(1 << 21) && bp_offset < (1 << 21);
}

}  // namespace unfreed::unwind
