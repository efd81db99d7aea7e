// A row in one word: AArch64. The return address lies wherever the function has saved it, mostly beside the frame
// pointer, so what is kept is how far it is from that. Part of unwind/row.h.
//
//     module 16 | bp_offset/8 17 | cfa_offset/8 18 | (return_offset - bp_offset)/8 6 | returns 1 | bp 2 | cfa 4
#pragma once

namespace unfreed::unwind {

inline uint64_t Row::pack() const {
  return uint64_t{module & 0xffff} << 48 | (static_cast<uint64_t>(bp_offset / 8) & 0x1ffff) << 31 |
         (static_cast<uint64_t>(cfa_offset / 8) & 0x3ffff) << 13 |
         (static_cast<uint64_t>((return_offset - bp_offset) / 8) & 0x3f) << 7 |
         uint64_t{static_cast<uint8_t>(returns)} << 6 | uint64_t{static_cast<uint8_t>(bp)} << 4 |
         static_cast<uint8_t>(cfa);
}
inline Row Row::unpack(uint64_t word) {
  // A field's bits, with its sign.
  auto field = [word](int high, int bits) {
    return static_cast<int32_t>(static_cast<int64_t>(word << (63 - high)) >> (64 - bits)) * 8;
  };
  Row row;
  row.module = static_cast<uint32_t>(word >> 48);
  row.bp_offset = field(47, 17);
  row.cfa_offset = field(30, 18);
  row.return_offset = row.bp_offset + field(12, 6);
  row.returns = static_cast<ReturnRule>(word >> 6 & 1);
  row.bp = static_cast<BpRule>(word >> 4 & 3);
  row.cfa = static_cast<CfaRule>(word & 15);
  return row;
}
inline bool Row::fits() const {
  constexpr int32_t kMostBp = 1 << 19, kMostCfa = 1 << 20, kMostBetween = 1 << 8;
  int32_t between = return_offset - bp_offset;
  return cfa_offset % 8 == 0 && bp_offset % 8 == 0 && return_offset % 8 == 0 && cfa_offset >= -kMostCfa &&
         cfa_offset < kMostCfa && bp_offset >= -kMostBp && bp_offset < kMostBp && between >= -kMostBetween &&
         between < kMostBetween;
}

}  // namespace unfreed::unwind
