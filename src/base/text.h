// Assembles text in memory that the caller owns: no allocation, no locale, always NUL-terminated, cut when full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace unfreed::base {

/// Part of `text`, limited to its bounds. (std::string_view::substr would pull in libstdc++'s exception
/// thrower, which the runtime must not depend on.)
inline std::string_view slice(std::string_view text, size_t start, size_t size = static_cast<size_t>(-1)) {
  if (start > text.size()) start = text.size();
  text.remove_prefix(start);
  if (size < text.size()) text.remove_suffix(text.size() - size);
  return text;
}

/// What follows the last '/'.
inline std::string_view base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : slice(path, slash + 1);
}

/// FNV-1a, 64 bits. To hash several texts, pass the previous hash.
inline constexpr uint64_t kEmptyTextHash = 0xcbf29ce484222325;
inline uint64_t hash_text(std::string_view text, uint64_t from = kEmptyTextHash) {
  for (char character : text) from = (from ^ static_cast<unsigned char>(character)) * 0x100000001b3;
  return from;
}

/// Appends to a fixed buffer; text that does not fit is cut (see cut()). Thread-compatible, async-signal-safe.
class TextBuilder {
 public:
  explicit TextBuilder(std::span<char> storage) : storage_(storage) {
    if (!storage_.empty()) storage_[0] = '\0';
  }
  TextBuilder& add(std::string_view text) {
    size_t room = storage_.empty() ? 0 : storage_.size() - 1 - size_;
    size_t taken = text.size() < room ? text.size() : room;
    if (taken) std::memcpy(storage_.data() + size_, text.data(), taken);
    size_ += taken;
    if (!storage_.empty()) storage_[size_] = '\0';
    if (taken < text.size()) cut_ = true;
    return *this;
  }
  TextBuilder& add(char character) { return add(std::string_view(&character, 1)); }
  TextBuilder& add_number(uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = static_cast<char>('0' + value % 10);
    while (value /= 10);
    return add(std::string_view(digits + at, sizeof digits - at));
  }
  TextBuilder& add_signed(int64_t value) {
    if (value < 0) {
      add('-');
      return add_number(uint64_t{0} - static_cast<uint64_t>(value));
    }
    return add_number(static_cast<uint64_t>(value));
  }
  /// Lower-case hexadecimal without prefix, at least `digits` wide.
  TextBuilder& add_hex(uint64_t value, int digits = 1) {
    char text[16];
    int at = 16;
    do text[--at] = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    while (16 - at < digits && at > 0) text[--at] = '0';
    return add(std::string_view(text + at, static_cast<size_t>(16 - at)));
  }
  /// Takes the end off again, so that `size` bytes are left.
  void shorten(size_t size) {
    if (size >= size_) return;
    size_ = size;
    storage_[size_] = '\0';
  }
  void clear() {
    size_ = 0;
    cut_ = false;
    if (!storage_.empty()) storage_[0] = '\0';
  }
  std::string_view text() const { return {storage_.data(), size_}; }
  const char* c_str() const { return storage_.data(); }
  size_t size() const { return size_; }
  bool cut() const { return cut_; }

 private:
  std::span<char> storage_;
  size_t size_ = 0;
  bool cut_ = false;
};

/// A TextBuilder with its own storage.
template <size_t kBytes>
class FixedText : public TextBuilder {
 public:
  FixedText() : TextBuilder(std::span<char>(bytes_, kBytes)) {}
  FixedText(const FixedText&) = delete;
  FixedText& operator=(const FixedText&) = delete;

 private:
  char bytes_[kBytes];
};

}  // namespace unfreed::base
