#include "unwind/cfa_machine.h"

#include <cstring>

#include "arch/dwarf_registers.h"

namespace unfreed::unwind {

namespace {

using arch::kBpRegister;
using arch::kHasLinkRegister;
using arch::kReturnAddressRegister;
using arch::kSpRegister;

constexpr uint8_t kBregBp = 0x70 + kBpRegister, kBregSp = 0x70 + kSpRegister;  // DW_OP_breg…

bool is_narrow(int64_t offset) { return offset == static_cast<int32_t>(offset); }

/// A factored offset; wraps instead of overflowing on nonsense.
int64_t factored(uint64_t value, int64_t factor) { return static_cast<int64_t>(value * static_cast<uint64_t>(factor)); }

}  // namespace

void CfaMachine::restart(uintptr_t start, Instructions body) {
  location_ = start;
  body_ = body;
  is_started_ = false;
  remembered_ = 0;
}

CfaMachine::Rule* CfaMachine::rule_of(uint64_t reg) {
  if (reg == kBpRegister) return &rules_.bp;
  if (reg == kReturnAddressRegister) return &rules_.return_address;
  return nullptr;
}
void CfaMachine::save(uint64_t reg, Saved how, int64_t offset) {
  if (Rule* rule = rule_of(reg)) *rule = {how, offset};
}
void CfaMachine::restore(uint64_t reg) {
  if (reg == kBpRegister) rules_.bp = initial_.bp;
  if (reg == kReturnAddressRegister) rules_.return_address = initial_.return_address;
}
void CfaMachine::set_cfa_offset(int64_t offset) {
  rules_.cfa_offset = offset;
  rules_.cfa_expression = CfaRule::none;
  rules_.cfa_unknown = false;
}

/// The expressions that occur in practice as CFA rules (the fixed one of PLT entries and "dereference register plus
/// offset").
void CfaMachine::read_cfa_expression(Cursor cursor, uint64_t size) {
  Cursor body(cursor.at(), cursor.at() + size);
  uint8_t op = body.fixed<uint8_t>();
  rules_.cfa_unknown = true;
  if (op != kBregBp && op != kBregSp) return;
  int64_t offset = body.sleb();
  uint8_t next = body.fixed<uint8_t>();
  if (next == 0x06 && body.ok() && body.at_end()) {  // DW_OP_deref
    rules_.cfa_expression = op == kBregBp ? CfaRule::at_bp : CfaRule::at_sp;
    rules_.cfa_offset = offset;
    rules_.cfa_unknown = false;
    return;
  }
  // breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus: what ld writes for .plt since 2011.
  static constexpr uint8_t kPltTail[] = {0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
  static constexpr uint8_t kPltTailShort[] = {0x80, 0x00, 0x3f, 0x1a, 0x3a,
                                              0x2a, 0x33, 0x24, 0x22};  // lit10: lazy IBT PLT
  if (op != kBregSp || offset != 8 || next != kPltTail[0] || size != 2 + sizeof kPltTail) return;
  auto* tail = reinterpret_cast<const uint8_t*>(cursor.at()) + 2;
  if (std::memcmp(tail, kPltTail, sizeof kPltTail) != 0 && std::memcmp(tail, kPltTailShort, sizeof kPltTail) != 0)
    return;
  rules_.cfa_expression = CfaRule::plt;
  rules_.cfa_offset = tail[4] - 0x30;  // the threshold: 11 or 10
  rules_.cfa_unknown = false;
}

void CfaMachine::saved_at_expression(uint64_t reg, Cursor& cursor) {
  uint64_t size = cursor.uleb();
  Cursor body(cursor.at(), cursor.at() + (cursor.ok() ? size : 0));
  cursor.skip(size);
  if (!cursor.ok()) return;
  uint8_t op = body.fixed<uint8_t>();
  int64_t offset = body.sleb();
  bool plain = op == kBregBp && body.ok() && body.at_end();
  save(reg, plain ? Saved::at_bp : Saved::unknown, offset);
}

/// Runs the CIE's program, unless it is known what comes of it.
bool CfaMachine::begin(uintptr_t pc) {
  if (!has_initial_) {
    uintptr_t start = location_;
    initial_ = rules_ = {};
    rules_.cfa_register = kSpRegister;
    if (!kHasLinkRegister) rules_.return_address = {Saved::at_cfa, -8};
    Cursor initial(cie_.initial.begin, cie_.initial.end);
    if (!execute(initial, pc, true)) return false;
    initial_ = rules_;
    has_initial_ = location_ == start && remembered_ == 0;  // nobody's does more than set rules
  }
  rules_ = initial_;
  next_ = body_.begin;
  row_start_ = location_;
  is_started_ = true;
  return true;
}

bool CfaMachine::run_to(uintptr_t pc) {
  if (!is_started_ && !begin(pc)) return false;
  if (pc < location_ && row_start_ < location_) return true;
  row_start_ = location_;
  Cursor body(next_, body_.end);
  bool understood = execute(body, pc, false);
  next_ = body.at();
  is_started_ = understood;
  return understood;
}

/// Runs a program, or what is left of it, up to the row of `pc`. False when it cannot be understood.
bool CfaMachine::execute(Cursor& program, uintptr_t pc, bool initial) {
  // In registers, while nobody else sees them.
  Cursor cursor = program;
  uintptr_t location = location_, row_start = row_start_;
  const uint64_t code_align = cie_.code_align;
  auto stop = [&](uintptr_t row_end) {
    program = cursor;
    location_ = row_end;
    row_start_ = row_start;
    return cursor.ok();
  };
  while (!cursor.at_end()) {
    uint8_t op = cursor.fixed<uint8_t>();
    uint64_t advance = 0;
    switch (op >> 6) {
      case 1:  // DW_CFA_advance_loc
        advance = op & 0x3f;
        break;
      case 2:  // DW_CFA_offset, of one of many registers that nobody asks for, as a rule
        if (uint64_t offset = cursor.uleb(); rule_of(op & 0x3f))
          save(op & 0x3f, Saved::at_cfa, factored(offset, cie_.data_align));
        continue;
      case 3:
        restore(op & 0x3f);  // DW_CFA_restore
        continue;
      default:
        if (op == 0x0e) {  // DW_CFA_def_cfa_offset
          set_cfa_offset(static_cast<int64_t>(cursor.uleb()));
          continue;
        }
        if (op == 0x02) {
          advance = cursor.fixed<uint8_t>();  // DW_CFA_advance_loc1
        } else if (op == 0x03) {
          advance = cursor.fixed<uint16_t>();  // …loc2
        } else if (op == 0x04) {
          advance = cursor.fixed<uint32_t>();  // …loc4
        } else if (Cursor other = cursor; op == 0x01) {
          location = other.encoded(cie_.pointer_encoding, 0);  // DW_CFA_set_loc
          cursor = other;
        } else {
          bool understood = step(op, other);
          cursor = other;
          if (understood) continue;
          stop(location);
          return false;
        }
    }
    location += advance * code_align;
    if (initial) continue;
    if (location > pc) return stop(location);
    row_start = location;
  }
  return stop(initial ? location : UINTPTR_MAX);  // the last row holds to the function's end
}

/// An instruction that changes rules, less often than those that execute() deals with itself.
bool CfaMachine::step(uint8_t op, Cursor& cursor) {
  int64_t align = cie_.data_align;
  uint64_t reg;
  switch (op) {
    case 0x00:
      return true;  // DW_CFA_nop
    case 0x05:      // DW_CFA_offset_extended
      reg = cursor.uleb();
      save(reg, Saved::at_cfa, factored(cursor.uleb(), align));
      return true;
    case 0x11:  // DW_CFA_offset_extended_sf
      reg = cursor.uleb();
      save(reg, Saved::at_cfa, factored(static_cast<uint64_t>(cursor.sleb()), align));
      return true;
    case 0x06:
      restore(cursor.uleb());
      return true;  // DW_CFA_restore_extended
    case 0x07:
      save(cursor.uleb(), Saved::undefined, 0);
      return true;  // DW_CFA_undefined
    case 0x08:
      save(cursor.uleb(), Saved::same, 0);
      return true;  // DW_CFA_same_value
    case 0x0a:      // DW_CFA_remember_state
      if (remembered_ == kMaxRemembered) return false;
      memory_[remembered_++] = rules_;
      return true;
    case 0x0b:  // DW_CFA_restore_state
      if (remembered_ == 0) return false;
      rules_ = memory_[--remembered_];
      return true;
    case 0x0c:  // DW_CFA_def_cfa
      rules_.cfa_register = cursor.uleb();
      set_cfa_offset(static_cast<int64_t>(cursor.uleb()));
      return true;
    case 0x12:  // DW_CFA_def_cfa_sf
      rules_.cfa_register = cursor.uleb();
      set_cfa_offset(factored(static_cast<uint64_t>(cursor.sleb()), align));
      return true;
    case 0x0d:  // DW_CFA_def_cfa_register
      rules_.cfa_register = cursor.uleb();
      rules_.cfa_expression = CfaRule::none;
      rules_.cfa_unknown = false;
      return true;
    case 0x13:
      set_cfa_offset(factored(static_cast<uint64_t>(cursor.sleb()), align));
      return true;  // DW_CFA_def_cfa_offset_sf
    case 0x0f: {    // DW_CFA_def_cfa_expression
      uint64_t size = cursor.uleb();
      Cursor body = cursor;
      cursor.skip(size);
      if (cursor.ok()) read_cfa_expression(body, size);
      return true;
    }
    case 0x10:
      saved_at_expression(cursor.uleb(), cursor);
      return true;  // DW_CFA_expression
    case 0x16: {    // DW_CFA_val_expression
      reg = cursor.uleb();
      cursor.skip(cursor.uleb());
      save(reg, Saved::unknown, 0);
      return true;
    }
    case 0x09:  // DW_CFA_register
    case 0x14:
    case 0x15:  // DW_CFA_val_offset, …_sf
      reg = cursor.uleb();
      cursor.uleb();
      save(reg, Saved::unknown, 0);
      return true;
    case 0x2c:  // DW_CFA_AARCH64_negate_ra_state_with_pc
    case 0x2d:  // DW_CFA_AARCH64_negate_ra_state: whether the return address is signed can be seen
      return kHasLinkRegister;
    case 0x2e:
      cursor.uleb();
      return true;  // DW_CFA_GNU_args_size
    case 0x2f:      // DW_CFA_GNU_negative_offset_extended
      reg = cursor.uleb();
      save(reg, Saved::at_cfa, factored(cursor.uleb(), -align));
      return true;
    default:
      return false;
  }
}

Row CfaMachine::row() const {
  Row row;
  if (cie_.signal) {
    row.cfa = CfaRule::signal;
    return row;
  }
  if (rules_.return_address.how == Saved::undefined) {
    row.cfa = CfaRule::end;
    return row;
  }
  bool is_in_link = kHasLinkRegister && rules_.return_address.how == Saved::same;
  if (rules_.cfa_unknown || (!is_in_link && rules_.return_address.how != Saved::at_cfa)) return row;
  if (!is_narrow(rules_.cfa_offset) || !is_narrow(rules_.bp.offset) || !is_narrow(rules_.return_address.offset))
    return row;
  row.return_offset = static_cast<int32_t>(rules_.return_address.offset);
  row.bp_offset = row.return_offset;  // unless it is saved
  if (rules_.bp.how == Saved::unknown || rules_.bp.how == Saved::undefined) {
    // The caller's bp is lost, the rest is fine: a later frame that needs it will fail its bounds check.
    row.bp = BpRule::same;
  } else if (rules_.bp.how != Saved::same) {
    row.bp = rules_.bp.how == Saved::at_cfa ? BpRule::at_cfa : BpRule::at_bp;
    row.bp_offset = static_cast<int32_t>(rules_.bp.offset);
  }
  if (is_in_link) {
    row.return_offset = row.bp_offset;
    row.returns = ReturnRule::in_link;
  }
  row.cfa_offset = static_cast<int32_t>(rules_.cfa_offset);
  if (rules_.cfa_expression == CfaRule::plt) row.cfa_offset *= 8;  // the threshold, in the offset's packing unit
  if (!row.fits()) return {};
  if (rules_.cfa_expression != CfaRule::none)
    row.cfa = rules_.cfa_expression;
  else if (rules_.cfa_register == kSpRegister)
    row.cfa = CfaRule::sp;
  else if (rules_.cfa_register == kBpRegister)
    row.cfa = CfaRule::bp;
  return row;
}

}  // namespace unfreed::unwind
