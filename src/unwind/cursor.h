// Reads the variable-length numbers of DWARF and of .eh_frame. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace unfreed::unwind {

// Pointer encodings (DW_EH_PE_…), LSB Core §10.5.1.
inline constexpr uint8_t kPeOmit = 0xff, kPeUleb = 0x01, kPeUdata2 = 0x02, kPeUdata4 = 0x03, kPeUdata8 = 0x04;
inline constexpr uint8_t kPeSleb = 0x09, kPeSdata2 = 0x0a, kPeSdata4 = 0x0b, kPeSdata8 = 0x0c;
inline constexpr uint8_t kPePcRelative = 0x10, kPeDataRelative = 0x30, kPeIndirect = 0x80;

/// Reads forward inside [at, end); any overrun makes it bad for good, with nothing left, and every later read yields 0.
class Cursor {
 public:
  Cursor(uintptr_t begin, uintptr_t end) : at_(begin), end_(end) {
    if (begin > end) fail();
  }
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == end_; }
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
    if (end_ - at_ < sizeof(T)) [[unlikely]] {
      fail();
      return value;
    }
    std::memcpy(&value, reinterpret_cast<const void*>(at_), sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  uint64_t uleb() {
    uint64_t value = fixed<uint8_t>();
    if (value < 0x80) [[likely]]
      return value;
    value &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
      uint8_t byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) return value;
    }
  }
  int64_t sleb() {
    uint64_t value = 0;
    unsigned shift = 0;
    for (;;) {
      uint8_t byte = fixed<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if (byte & 0x40 && shift < 64) value |= ~uint64_t{0} << shift;
      return static_cast<int64_t>(value);
    }
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

}  // namespace unfreed::unwind
