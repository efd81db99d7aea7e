// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: chapter 2 (formats), appendix A (opcode
// maps).
#include "arch/instruction.h"

#include <cstring>

namespace unfreed::arch {

namespace {

using Effect = Instruction::Effect;

constexpr uint8_t kSp = 4, kBp = 5;  // the registers' numbers

class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> code) : code_(code) {}

  Instruction run() {
    read_prefixes();
    uint8_t opcode = next();
    if (opcode == 0xc4 || opcode == 0xc5)
      vector(opcode == 0xc5);
    else if (opcode == 0x0f)
      two_bytes();
    else
      one_byte(opcode);
    if (is_short_ || at_ > kLongestInstruction) return {};
    out_.bytes = static_cast<uint8_t>(at_);
    return out_;
  }

 private:
  void read_prefixes() {
    for (;; ++at_) {
      uint8_t byte = peek();
      if (byte == 0x66)
        is_16_bit_ = true;
      else if (byte == 0x67)
        is_32_bit_address_ = true;
      else if (byte != 0xf0 && byte != 0xf2 && byte != 0xf3 && (byte & 0xe7) != 0x26 && (byte & 0xfe) != 0x64)
        break;
    }
    if ((peek() & 0xf0) == 0x40) rex_ = next();
  }

  void one_byte(uint8_t opcode) {
    auto low = static_cast<uint8_t>(opcode & 7);
    if (opcode < 0x40) {  // add, or, adc, sbb, and, sub, xor, cmp
      if (low > 5) return set(Effect::not_known);
      set(Effect::none);
      if (low == 4) return skip(1);
      if (low == 5) return skip(immediate());
      operands();
      bool compares = opcode >= 0x38;
      if ((low == 1 && is_register(kSp) && !compares) || (low == 3 && reg_is(kSp) && !compares)) set(Effect::loses_sp);
      return;
    }
    switch (opcode >> 3) {
      case 0x50 >> 3:
        return moves(-8);
      case 0x58 >> 3:
        if (low == kBp && !rex_b()) return set(Effect::pops_bp);
        return low == kSp && !rex_b() ? set(Effect::loses_sp) : moves(8);
      case 0x70 >> 3:
      case 0x78 >> 3:
        return branch(Effect::branches, 1);
      case 0x90 >> 3:
        return set(low == kSp && !rex_b() ? Effect::loses_sp : Effect::none);  // xchg rax, …
      case 0xb0 >> 3:
        return set_and_skip(1);
      case 0xb8 >> 3:
        return set_and_skip(rex_w() ? 8 : immediate());
      case 0xd8 >> 3:
        return set_and_operands(0);
      default:
        break;
    }
    switch (opcode) {
      case 0x63:
      case 0x84:
      case 0x85:
      case 0x86:
      case 0x87:
      case 0x88:
      case 0x8a:
      case 0x8c:
      case 0x8e:
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
      case 0xfe:
        set_and_operands(0);
        if (opcode == 0x87 && (is_register(kSp) || reg_is(kSp))) set(Effect::loses_sp);
        return;
      case 0x68:
        moves(-8);
        return skip(immediate());
      case 0x6a:
        moves(-8);
        return skip(1);
      case 0x69:
        return set_and_operands(immediate());
      case 0x6b:
      case 0xc0:
      case 0xc1:
      case 0xc6:
      case 0x80:
        return set_and_operands(1);
      case 0xc7:
        return set_and_operands(immediate());
      case 0x81:
        return arithmetic(immediate());
      case 0x83:
        return arithmetic(1);
      case 0x89:
        set_and_operands(0);
        if (is_register(kSp)) reg_is(kBp) ? sp_is_bp(0) : set(Effect::loses_sp);
        if (is_register(kBp) && reg_is(kSp)) set(Effect::bp_is_sp);
        return;
      case 0x8b:
        set_and_operands(0);
        if (reg_is(kSp)) is_register(kBp) ? sp_is_bp(0) : set(Effect::loses_sp);
        if (reg_is(kBp) && is_register(kSp)) set(Effect::bp_is_sp);
        return;
      case 0x8d:
        return load_address();
      case 0x8f:
        operands();
        return moves(8);
      case 0x6c:
      case 0x6d:
      case 0x6e:
      case 0x6f:
      case 0x98:
      case 0x99:
      case 0x9b:
      case 0x9e:
      case 0x9f:
      case 0xa4:
      case 0xa5:
      case 0xa6:
      case 0xa7:
      case 0xaa:
      case 0xab:
      case 0xac:
      case 0xad:
      case 0xae:
      case 0xaf:
      case 0xd7:
      case 0xec:
      case 0xed:
      case 0xee:
      case 0xef:
      case 0xf5:
      case 0xf8:
      case 0xf9:
      case 0xfa:
      case 0xfb:
      case 0xfc:
      case 0xfd:
        return set(Effect::none);
      case 0x9c:
        return moves(-8);
      case 0x9d:
        return moves(8);
      case 0xa0:
      case 0xa1:
      case 0xa2:
      case 0xa3:
        return set_and_skip(is_32_bit_address_ ? 4 : 8);
      case 0xa8:
      case 0xcd:
      case 0xe4:
      case 0xe5:
      case 0xe6:
      case 0xe7:
        return set_and_skip(1);
      case 0xa9:
        return set_and_skip(immediate());
      case 0xc2:
        set(Effect::returns);
        return skip(2);
      case 0xc3:
        return set(Effect::returns);
      case 0xc9:
        return set(Effect::leaves);
      case 0xcc:
      case 0xf1:
      case 0xf4:
        return set(Effect::stops);
      case 0xe0:
      case 0xe1:
      case 0xe2:
      case 0xe3:
        return branch(Effect::branches, 1);
      case 0xe8:
        set_and_skip(4);
        out_.calls = true;
        return;
      case 0xe9:
        return branch(Effect::jumps, 4);
      case 0xeb:
        return branch(Effect::jumps, 1);
      case 0xf6:
      case 0xf7:
        operands();
        set(Effect::none);
        return reg() < 2 ? skip(opcode == 0xf6 ? 1 : immediate()) : void();
      case 0xff:
        return by_pointer();
      default:
        return set(Effect::not_known);
    }
  }

  void two_bytes() {
    uint8_t opcode = next();
    switch (opcode) {
      case 0x05:
      case 0x06:
      case 0x08:
      case 0x09:
      case 0x30:
      case 0x31:
      case 0x32:
      case 0x33:
      case 0x77:
      case 0xa2:
      case 0xaa:
        return set(Effect::none);
      case 0x0b:
      case 0xb9:
      case 0xff:
        return set(Effect::stops);
      case 0xa0:
      case 0xa8:
        return moves(-8);
      case 0xa1:
      case 0xa9:
        return moves(8);
      case 0x38:
        next();
        return set_and_operands(0);
      case 0x3a:
        next();
        return set_and_operands(1);
      case 0x07:
      case 0x34:
      case 0x35:
        return set(Effect::not_known);
      default:
        break;
    }
    if (opcode >= 0x80 && opcode < 0x90) return branch(Effect::branches, 4);
    if (opcode >= 0xc8 && opcode < 0xd0) return set(Effect::none);  // bswap
    set_and_operands(has_byte_behind(opcode) || opcode == 0xa4 || opcode == 0xac || opcode == 0xba ? 1 : 0);
    if ((opcode & 0xf0) == 0x40 && reg_is(kSp)) set(Effect::loses_sp);  // cmov
  }

  /// In the second map, also of vector instructions.
  static bool has_byte_behind(uint8_t opcode) {
    return (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 || (opcode >= 0xc4 && opcode <= 0xc6);
  }

  void vector(bool has_two_bytes) {
    uint8_t first = next();
    int map = 1;
    if (!has_two_bytes) {
      map = first & 0x1f;
      next();
    }
    uint8_t opcode = next();
    if (map == 1 && opcode == 0x77) return set(Effect::none);  // vzeroupper
    if (map < 1 || map > 3) return set(Effect::not_known);
    set_and_operands(map == 3 || (map == 1 && has_byte_behind(opcode)) ? 1 : 0);
  }

  /// add, or, adc, sbb, and, sub, xor, cmp with a constant.
  void arithmetic(size_t bytes) {
    operands();
    set(Effect::none);
    intptr_t value = number(bytes);
    if (!is_register(kSp)) return;
    if (reg() == 0)
      moves(value);
    else if (reg() == 5)
      moves(-value);
    else if (reg() != 7)
      set(Effect::loses_sp);
  }

  void load_address() {
    set_and_operands(0);
    if (!reg_is(kSp)) return;
    set(Effect::loses_sp);
    constexpr uint8_t kOnlySp = 0x24;  // the index byte of [rsp + …]
    if (rex_ & 3 || mode() == 3) return;
    if (base() == kSp && index_ == kOnlySp) moves(displacement_);
    if (base() == kBp && mode() != 0) sp_is_bp(displacement_);
  }

  /// inc, dec, call, call far, jmp, jmp far, push
  void by_pointer() {
    operands();
    switch (reg()) {
      case 0:
      case 1:
        return set(is_register(kSp) ? Effect::loses_sp : Effect::none);
      case 2:
        set(Effect::none);
        out_.calls = true;
        return;
      case 4:
        return set(Effect::returns);
      case 6:
        return moves(-8);
      default:
        return set(Effect::not_known);
    }
  }

  /// ModRM, SIB and displacement.
  void operands() {
    modrm_ = next();
    if (mode() == 3) return;
    size_t bytes = mode() == 1 ? 1 : mode() == 2 ? 4 : 0;
    if (base() == kSp) {
      index_ = next();
      if (mode() == 0 && (index_ & 7) == kBp) bytes = 4;
    } else if (mode() == 0 && base() == kBp) {
      bytes = 4;  // relative to the next instruction
    }
    displacement_ = bytes ? number(bytes) : 0;
  }

  void set(Effect effect) { out_.effect = effect; }
  void set_and_skip(size_t bytes) {
    set(Effect::none);
    skip(bytes);
  }
  void set_and_operands(size_t immediate_bytes) {
    set(Effect::none);
    operands();
    skip(immediate_bytes);
  }
  void moves(intptr_t value) {
    set(Effect::moves_sp);
    out_.value = value;
  }
  void sp_is_bp(intptr_t value) {
    set(Effect::sp_is_bp);
    out_.value = value;
  }
  void branch(Effect effect, size_t bytes) {
    set(effect);
    out_.target = number(bytes);
  }

  size_t immediate() const { return is_16_bit_ && !rex_w() ? 2 : 4; }
  bool rex_w() const { return rex_ & 8; }
  bool rex_b() const { return rex_ & 1; }
  uint8_t mode() const { return modrm_ >> 6; }
  uint8_t reg() const { return modrm_ >> 3 & 7; }
  uint8_t base() const { return modrm_ & 7; }
  bool reg_is(uint8_t number) const { return reg() == number && !(rex_ & 4); }
  bool is_register(uint8_t number) const { return mode() == 3 && base() == number && !rex_b(); }

  uint8_t peek() {
    if (at_ < code_.size()) return code_[at_];
    is_short_ = true;
    return 0;
  }
  uint8_t next() {
    uint8_t byte = peek();
    ++at_;
    return byte;
  }
  void skip(size_t bytes) {
    at_ += bytes;
    if (at_ > code_.size()) is_short_ = true;
  }
  intptr_t number(size_t bytes) {
    size_t from = at_;
    skip(bytes);
    if (is_short_) return 0;
    int16_t two;
    int32_t four;
    switch (bytes) {
      case 1:
        return static_cast<int8_t>(code_[from]);
      case 2:
        std::memcpy(&two, &code_[from], sizeof two);
        return two;
      default:
        std::memcpy(&four, &code_[from], sizeof four);
        return four;
    }
  }

  std::span<const uint8_t> code_;
  size_t at_ = 0;
  Instruction out_;
  uint8_t rex_ = 0;
  uint8_t modrm_ = 0;
  uint8_t index_ = 0;
  intptr_t displacement_ = 0;
  bool is_16_bit_ = false;
  bool is_32_bit_address_ = false;
  bool is_short_ = false;
};

}  // namespace

Instruction decode(std::span<const uint8_t> code) { return Decoder(code).run(); }

}  // namespace unfreed::arch
