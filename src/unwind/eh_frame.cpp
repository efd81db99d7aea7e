#include "unwind/eh_frame.h"

#include <cstddef>
#include <cstring>

namespace unfreed::unwind {

namespace {

// Pointer encodings (DW_EH_PE_…), LSB Core §10.5.1.
constexpr uint8_t kPeOmit = 0xff, kPeUleb = 0x01, kPeUdata2 = 0x02, kPeUdata4 = 0x03, kPeUdata8 = 0x04;
constexpr uint8_t kPeSleb = 0x09, kPeSdata2 = 0x0a, kPeSdata4 = 0x0b, kPeSdata8 = 0x0c;
constexpr uint8_t kPePcRelative = 0x10, kPeDataRelative = 0x30, kPeIndirect = 0x80;

// DWARF register numbers on x86-64.
constexpr uint64_t kRbp = 6, kRsp = 7, kReturnAddress = 16;

/// Reads forward inside [at, end); any overrun makes it bad for good and every later read yields 0.
class Cursor {
 public:
  Cursor(uintptr_t begin, uintptr_t end) : at_(begin), end_(end) {
    if (begin > end) fail();
  }
  bool ok() const { return ok_; }
  bool at_end() const { return !ok_ || at_ >= end_; }
  uintptr_t at() const { return at_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }
  void skip(uint64_t bytes) {
    if (bytes > end_ - at_) return fail();
    at_ += bytes;
  }
  template <class T>
  T fixed() {
    T value{};
    if (end_ - at_ < sizeof(T) || !ok_) {
      fail();
      return value;
    }
    std::memcpy(&value, reinterpret_cast<const void*>(at_), sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  uint64_t uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; ok_; shift += 7) {
      uint8_t byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) break;
    }
    return value;
  }
  int64_t sleb() {
    uint64_t value = 0;
    unsigned shift = 0;
    while (ok_) {
      uint8_t byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if (byte & 0x40 && shift < 64) value |= ~uint64_t{0} << shift;
      break;
    }
    return static_cast<int64_t>(value);
  }
  uintptr_t encoded(uint8_t encoding, uintptr_t data_base) {
    uintptr_t place = at_;
    uint64_t value = 0;
    switch (encoding & 0x0f) {
      case 0x00:
      case kPeUdata8:
        value = fixed<uint64_t>();
        break;
      case kPeUleb:
        value = uleb();
        break;
      case kPeUdata2:
        value = fixed<uint16_t>();
        break;
      case kPeUdata4:
        value = fixed<uint32_t>();
        break;
      case kPeSleb:
        value = static_cast<uint64_t>(sleb());
        break;
      case kPeSdata2:
        value = static_cast<uint64_t>(int64_t{fixed<int16_t>()});
        break;
      case kPeSdata4:
        value = static_cast<uint64_t>(int64_t{fixed<int32_t>()});
        break;
      case kPeSdata8:
        value = static_cast<uint64_t>(fixed<int64_t>());
        break;
      default:
        fail();
    }
    switch (encoding & 0x70) {
      case 0x00:
        break;
      case kPePcRelative:
        value += place;
        break;
      case kPeDataRelative:
        value += data_base;
        break;
      default:
        fail();
    }
    if (encoding & kPeIndirect) fail();  // personality routines only; not where a pc range is
    return ok_ ? value : 0;
  }

 private:
  uintptr_t at_;
  uintptr_t end_;
  bool ok_ = true;
};

struct Instructions {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

struct Cie {
  uint64_t code_align = 0;
  int64_t data_align = 0;
  uint64_t return_register = 0;
  uint8_t pointer_encoding = 0;
  bool has_augmentation_data = false;
  bool signal = false;
  Instructions initial;
};

struct Fde {
  Cie cie;
  uintptr_t start = 0;
  uintptr_t size = 0;
  Instructions body;
};

/// Enters a length-prefixed record: `record` then spans what follows the length.
bool enter_record(const Image& image, uintptr_t address, Instructions& record) {
  if (address < image.low || address >= image.high) return false;
  Cursor cursor(address, image.high);
  uint64_t length = cursor.fixed<uint32_t>();
  if (length == 0xffffffff) length = cursor.fixed<uint64_t>();
  if (!cursor.ok() || length == 0 || length > image.high - cursor.at()) return false;
  record = {cursor.at(), cursor.at() + length};
  return true;
}

bool parse_cie(const Image& image, uintptr_t address, Cie& cie) {
  Instructions record;
  if (!enter_record(image, address, record)) return false;
  Cursor cursor(record.begin, record.end);
  if (cursor.fixed<uint32_t>() != 0) return false;  // a CIE's id
  uint8_t version = cursor.fixed<uint8_t>();
  if (version != 1 && version != 3) return false;
  char augmentation[8] = {};
  for (size_t i = 0;; ++i) {
    if (i == sizeof augmentation) return false;
    augmentation[i] = static_cast<char>(cursor.fixed<uint8_t>());
    if (!augmentation[i]) break;
  }
  cie.code_align = cursor.uleb();
  cie.data_align = cursor.sleb();
  cie.return_register = version == 1 ? cursor.fixed<uint8_t>() : cursor.uleb();
  if (augmentation[0] == 'z') {
    cie.has_augmentation_data = true;
    uint64_t size = cursor.uleb();
    uintptr_t data = cursor.at();
    for (const char* letter = augmentation + 1; *letter; ++letter) {
      if (*letter == 'R') {
        cie.pointer_encoding = cursor.fixed<uint8_t>();
      } else if (*letter == 'P') {
        uint8_t encoding = cursor.fixed<uint8_t>();
        cursor.encoded(encoding & ~kPeIndirect, 0);
      } else if (*letter == 'L') {
        cursor.fixed<uint8_t>();
      } else if (*letter == 'S') {
        cie.signal = true;
      } else if (*letter != 'B') {
        break;
      }
    }
    if (!cursor.ok() || size > record.end - data) return false;
    cie.initial = {data + size, record.end};
  } else if (augmentation[0] == '\0') {
    cie.initial = {cursor.at(), record.end};
  } else {
    return false;
  }
  return cursor.ok();
}

bool parse_fde(const Image& image, uintptr_t address, Fde& fde) {
  Instructions record;
  if (!enter_record(image, address, record)) return false;
  Cursor cursor(record.begin, record.end);
  uintptr_t id_place = cursor.at();
  uint32_t cie_distance = cursor.fixed<uint32_t>();
  if (cie_distance == 0 || cie_distance > id_place) return false;
  if (!parse_cie(image, id_place - cie_distance, fde.cie)) return false;
  fde.start = cursor.encoded(fde.cie.pointer_encoding, 0);
  fde.size = cursor.encoded(fde.cie.pointer_encoding & 0x0f, 0);
  if (fde.cie.has_augmentation_data) cursor.skip(cursor.uleb());
  fde.body = {cursor.at(), record.end};
  return cursor.ok();
}

/// Binary search in the table of .eh_frame_hdr: (start pc, FDE address) pairs, sorted, 32 bits each, relative to the
/// header.
uintptr_t search_table(const Image& image, uintptr_t header, uintptr_t pc) {
  if (header < image.low || header >= image.high) return 0;
  Cursor cursor(header, image.high);
  if (cursor.fixed<uint8_t>() != 1) return 0;
  uint8_t frame_encoding = cursor.fixed<uint8_t>();
  uint8_t count_encoding = cursor.fixed<uint8_t>();
  uint8_t table_encoding = cursor.fixed<uint8_t>();
  if (frame_encoding == kPeOmit || count_encoding == kPeOmit || table_encoding != (kPeDataRelative | kPeSdata4))
    return 0;
  cursor.encoded(frame_encoding, header);
  uint64_t count = cursor.encoded(count_encoding, header);
  uintptr_t table = cursor.at();
  if (!cursor.ok() || count == 0 || count > (image.high - table) / 8) return 0;
  auto entry = [table](uint64_t index, unsigned word) {
    int32_t value;
    std::memcpy(&value, reinterpret_cast<const void*>(table + index * 8 + word * 4), 4);
    return value;
  };
  auto wanted = static_cast<int64_t>(pc - header);
  if (wanted < entry(0, 0)) return 0;
  uint64_t low = 0, high = count;
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    (entry(middle, 0) <= wanted ? low : high) = middle;
  }
  return header + static_cast<uintptr_t>(static_cast<intptr_t>(entry(low, 1)));
}

/// A factored offset; wraps instead of overflowing on nonsense.
int64_t factored(uint64_t value, int64_t factor) { return static_cast<int64_t>(value * static_cast<uint64_t>(factor)); }

enum class Saved : uint8_t { same, at_cfa, at_bp, undefined, unknown };
struct Rule {
  Saved how = Saved::same;
  int64_t offset = 0;
};

/// The virtual machine's state: the rules for the CFA, rbp and the return address. Other registers are not followed.
struct Machine {
  uint64_t cfa_register = kRsp;
  int64_t cfa_offset = 0;
  CfaRule cfa_expression = CfaRule::none;  ///< set: the CFA is given by an expression
  bool cfa_unknown = false;
  Rule bp;
  Rule return_address{Saved::at_cfa, -8};
};

/// The expressions that occur in practice as CFA rules (the fixed one of PLT entries and "dereference register plus
/// offset").
void read_cfa_expression(Cursor cursor, uint64_t size, Machine& machine) {
  Cursor body(cursor.at(), cursor.at() + size);
  uint8_t op = body.fixed<uint8_t>();
  machine.cfa_unknown = true;
  if (op != 0x76 && op != 0x77) return;  // DW_OP_breg6 (rbp), DW_OP_breg7 (rsp)
  int64_t offset = body.sleb();
  uint8_t next = body.fixed<uint8_t>();
  if (next == 0x06 && body.ok() && body.at_end()) {  // DW_OP_deref
    machine.cfa_expression = op == 0x76 ? CfaRule::at_bp : CfaRule::at_sp;
    machine.cfa_offset = offset;
    machine.cfa_unknown = false;
    return;
  }
  // breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus: what ld writes for .plt since 2011.
  static constexpr uint8_t kPltTail[] = {0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
  static constexpr uint8_t kPltTailShort[] = {0x80, 0x00, 0x3f, 0x1a, 0x3a,
                                              0x2a, 0x33, 0x24, 0x22};  // lit10: lazy IBT PLT
  if (op != 0x77 || offset != 8 || next != kPltTail[0] || size != 2 + sizeof kPltTail) return;
  auto* tail = reinterpret_cast<const uint8_t*>(cursor.at()) + 2;
  if (std::memcmp(tail, kPltTail, sizeof kPltTail) && std::memcmp(tail, kPltTailShort, sizeof kPltTail)) return;
  machine.cfa_expression = CfaRule::plt;
  machine.cfa_offset = tail[4] - 0x30;  // the threshold: 11 or 10
  machine.cfa_unknown = false;
}

class Evaluator {
 public:
  Evaluator(const Fde& fde, uintptr_t pc) : fde_(fde), pc_(pc) {}

  bool run(Machine& machine) {
    if (!execute(fde_.cie.initial, machine, true)) return false;
    initial_ = machine;
    return execute(fde_.body, machine, false);
  }

 private:
  static constexpr size_t kMaxRemembered = 8;

  Rule* rule_of(uint64_t reg, Machine& machine) {
    if (reg == kRbp) return &machine.bp;
    if (reg == kReturnAddress) return &machine.return_address;
    return nullptr;
  }
  void save(uint64_t reg, Saved how, int64_t offset, Machine& machine) {
    if (Rule* rule = rule_of(reg, machine)) *rule = {how, offset};
  }

  void saved_at_expression(uint64_t reg, Cursor& cursor, Machine& machine) {
    uint64_t size = cursor.uleb();
    Cursor body(cursor.at(), cursor.at() + (cursor.ok() ? size : 0));
    cursor.skip(size);
    if (!cursor.ok()) return;
    uint8_t op = body.fixed<uint8_t>();
    int64_t offset = body.sleb();
    bool plain = op == 0x76 && body.ok() && body.at_end();  // DW_OP_breg6 offset
    save(reg, plain ? Saved::at_bp : Saved::unknown, offset, machine);
  }

  /// Runs `code` up to pc_. False when it cannot be understood.
  bool execute(Instructions code, Machine& machine, bool initial) {
    Cursor cursor(code.begin, code.end);
    uintptr_t location = fde_.start;
    while (!cursor.at_end()) {
      uint8_t op = cursor.fixed<uint8_t>();
      uint64_t advance = 0;
      bool is_advance = true;
      switch (op) {
        case 0x02:
          advance = cursor.fixed<uint8_t>();
          break;  // DW_CFA_advance_loc1
        case 0x03:
          advance = cursor.fixed<uint16_t>();
          break;  // …loc2
        case 0x04:
          advance = cursor.fixed<uint32_t>();
          break;    // …loc4
        case 0x01:  // DW_CFA_set_loc
          location = cursor.encoded(fde_.cie.pointer_encoding, 0);
          break;
        default:
          is_advance = op >> 6 == 1;  // DW_CFA_advance_loc
          if (is_advance) advance = op & 0x3f;
      }
      if (is_advance) {
        location += advance * fde_.cie.code_align;
        if (!initial && location > pc_) return cursor.ok();
        continue;
      }
      if (!step(op, cursor, machine)) return false;
    }
    return cursor.ok();
  }

  bool step(uint8_t op, Cursor& cursor, Machine& machine) {
    int64_t align = fde_.cie.data_align;
    if (op >> 6 == 2) {  // DW_CFA_offset
      save(op & 0x3f, Saved::at_cfa, factored(cursor.uleb(), align), machine);
      return true;
    }
    if (op >> 6 == 3) {  // DW_CFA_restore
      restore(op & 0x3f, machine);
      return true;
    }
    uint64_t reg;
    switch (op) {
      case 0x00:
        return true;  // DW_CFA_nop
      case 0x05:      // DW_CFA_offset_extended
        reg = cursor.uleb();
        save(reg, Saved::at_cfa, factored(cursor.uleb(), align), machine);
        return true;
      case 0x11:  // DW_CFA_offset_extended_sf
        reg = cursor.uleb();
        save(reg, Saved::at_cfa, factored(static_cast<uint64_t>(cursor.sleb()), align), machine);
        return true;
      case 0x06:
        restore(cursor.uleb(), machine);
        return true;  // DW_CFA_restore_extended
      case 0x07:
        save(cursor.uleb(), Saved::undefined, 0, machine);
        return true;  // DW_CFA_undefined
      case 0x08:
        save(cursor.uleb(), Saved::same, 0, machine);
        return true;  // DW_CFA_same_value
      case 0x09:      // DW_CFA_register
        reg = cursor.uleb();
        cursor.uleb();
        save(reg, Saved::unknown, 0, machine);
        return true;
      case 0x0a:  // DW_CFA_remember_state
        if (remembered_ == kMaxRemembered) return false;
        memory_[remembered_++] = machine;
        return true;
      case 0x0b:  // DW_CFA_restore_state
        if (remembered_ == 0) return false;
        machine = memory_[--remembered_];
        return true;
      case 0x0c:  // DW_CFA_def_cfa
        machine.cfa_register = cursor.uleb();
        return set_cfa_offset(static_cast<int64_t>(cursor.uleb()), machine);
      case 0x12:  // DW_CFA_def_cfa_sf
        machine.cfa_register = cursor.uleb();
        return set_cfa_offset(factored(static_cast<uint64_t>(cursor.sleb()), align), machine);
      case 0x0d:  // DW_CFA_def_cfa_register
        machine.cfa_register = cursor.uleb();
        machine.cfa_expression = CfaRule::none;
        machine.cfa_unknown = false;
        return true;
      case 0x0e:
        return set_cfa_offset(static_cast<int64_t>(cursor.uleb()), machine);  // DW_CFA_def_cfa_offset
      case 0x13:
        return set_cfa_offset(factored(static_cast<uint64_t>(cursor.sleb()), align),
                              machine);  // DW_CFA_def_cfa_offset_sf
      case 0x0f: {                       // DW_CFA_def_cfa_expression
        uint64_t size = cursor.uleb();
        Cursor body = cursor;
        cursor.skip(size);
        if (cursor.ok()) read_cfa_expression(body, size, machine);
        return true;
      }
      case 0x10:
        saved_at_expression(cursor.uleb(), cursor, machine);
        return true;  // DW_CFA_expression
      case 0x16: {    // DW_CFA_val_expression
        reg = cursor.uleb();
        cursor.skip(cursor.uleb());
        save(reg, Saved::unknown, 0, machine);
        return true;
      }
      case 0x14:
      case 0x15:  // DW_CFA_val_offset, …_sf
        reg = cursor.uleb();
        cursor.uleb();
        save(reg, Saved::unknown, 0, machine);
        return true;
      case 0x2e:
        cursor.uleb();
        return true;  // DW_CFA_GNU_args_size
      case 0x2f:      // DW_CFA_GNU_negative_offset_extended
        reg = cursor.uleb();
        save(reg, Saved::at_cfa, factored(cursor.uleb(), -align), machine);
        return true;
      default:
        return false;
    }
  }

  bool set_cfa_offset(int64_t offset, Machine& machine) {
    machine.cfa_offset = offset;
    machine.cfa_expression = CfaRule::none;
    machine.cfa_unknown = false;
    return true;
  }
  void restore(uint64_t reg, Machine& machine) {
    if (Rule* rule = rule_of(reg, machine)) *rule = *rule_of(reg, initial_);
  }

  const Fde& fde_;
  uintptr_t pc_;
  Machine initial_;
  Machine memory_[kMaxRemembered];
  size_t remembered_ = 0;
};

Row to_row(const Machine& machine, bool signal) {
  Row row;
  if (signal) {
    row.cfa = CfaRule::signal;
    return row;
  }
  if (machine.return_address.how == Saved::undefined) {
    row.cfa = CfaRule::end;
    return row;
  }
  if (machine.cfa_unknown || machine.return_address.how != Saved::at_cfa || machine.return_address.offset != -8)
    return row;
  if (!Row::fits(machine.cfa_expression == CfaRule::plt ? 0 : machine.cfa_offset, machine.bp.offset)) return row;
  if (machine.bp.how == Saved::unknown || machine.bp.how == Saved::undefined) {
    // The caller's rbp is lost, the rest is fine: a later frame that needs it will fail its bounds check.
    row.bp = BpRule::same;
  } else if (machine.bp.how != Saved::same) {
    row.bp = machine.bp.how == Saved::at_cfa ? BpRule::at_cfa : BpRule::at_bp;
    row.bp_offset = static_cast<int32_t>(machine.bp.offset);
  }
  if (machine.cfa_expression == CfaRule::plt) {
    row.cfa = CfaRule::plt;
    row.cfa_offset = static_cast<int32_t>(machine.cfa_offset) * 8;  // the threshold, in the offset's packing unit
    return row;
  }
  row.cfa_offset = static_cast<int32_t>(machine.cfa_offset);
  if (machine.cfa_expression != CfaRule::none)
    row.cfa = machine.cfa_expression;
  else if (machine.cfa_register == kRsp)
    row.cfa = CfaRule::sp;
  else if (machine.cfa_register == kRbp)
    row.cfa = CfaRule::bp;
  return row;
}

}  // namespace

namespace {
bool find_fde(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc, Fde& fde) {
  uintptr_t address = search_table(image, eh_frame_hdr, pc);
  return address && parse_fde(image, address, fde) && pc >= fde.start && pc - fde.start < fde.size &&
         fde.start >= image.low && pc < image.high;
}
}  // namespace

uintptr_t find_function(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc) {
  Fde fde;
  return find_fde(image, eh_frame_hdr, pc, fde) ? fde.start : 0;
}

Row find_row(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc) {
  Fde fde;
  if (!find_fde(image, eh_frame_hdr, pc, fde) || fde.cie.return_register != kReturnAddress) return {};
  Machine machine;
  if (!Evaluator(fde, pc).run(machine)) return {};
  return to_row(machine, fde.cie.signal);
}

}  // namespace unfreed::unwind
