#include "report/json_text.h"

#include <cstring>

#include "base/printable.h"

namespace unfreed::report {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

/// By byte: stands for itself in a JSON string.
struct PlainBytes {
  bool is_plain[256] = {};
  constexpr PlainBytes() {
    for (int byte = 0x20; byte < 0x7f; ++byte) is_plain[byte] = byte != '"' && byte != '\\';
  }
};
constexpr PlainBytes kBytes;

bool is_plain(char character) { return kBytes.is_plain[static_cast<unsigned char>(character)]; }

}  // namespace

inline void JsonText::put(char character) {
  if (buffer_.size() - used_ > 1) [[likely]]
    buffer_[used_++] = character;
  else
    put_in_pieces(std::string_view(&character, 1));
}

inline void JsonText::put(std::string_view text) {
  if (text.size() >= buffer_.size() - used_) [[unlikely]]
    return put_in_pieces(text);
  std::memcpy(buffer_.data() + used_, text.data(), text.size());
  used_ += text.size();
}

JsonText& JsonText::key(std::string_view name) {
  separate();
  put('"');
  put(name);  // the schema's own names: nothing to escape
  put("\": ");
  after_key_ = true;
  return *this;
}

void JsonText::value(std::string_view text) {
  separate();
  put('"');
  put_escaped(text);
  put('"');
}

void JsonText::value(bool truth) {
  separate();
  put(truth ? std::string_view("true") : std::string_view("false"));
}

void JsonText::value(uint64_t number) {
  separate();
  put_number(number);
}

void JsonText::value(int64_t number) {
  separate();
  if (number < 0) put('-');
  put_number(number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number));
}

void JsonText::null() {
  separate();
  put("null");
}

void JsonText::hash_value(uint64_t hash) {
  char digits[16];
  for (size_t index = 0; index < sizeof digits; ++index) digits[index] = kHexDigits[hash >> (60 - 4 * index) & 15];
  value(std::string_view(digits, sizeof digits));
}

bool JsonText::finish() {
  put('\n');
  flush();
  return !failed_;
}

void JsonText::begin(char bracket, Layout layout) {
  separate();
  put(bracket);
  // What stands inside a compact value is compact too.
  if (depth_ > 0 && layouts_[depth_ - 1] == Layout::compact) layout = Layout::compact;
  layouts_[depth_] = layout;
  has_members_[depth_] = false;
  ++depth_;
}

void JsonText::end(char bracket) {
  --depth_;
  if (has_members_[depth_] && layouts_[depth_] == Layout::lines) new_line();
  put(bracket);
}

/// What belongs before a key or an array's value.
void JsonText::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  bool& has_members = has_members_[depth_ - 1];
  if (has_members) put(',');
  if (layouts_[depth_ - 1] == Layout::lines)
    new_line();
  else if (has_members)
    put(' ');
  has_members = true;
}

void JsonText::new_line() {
  constexpr std::string_view kIndent = "\n                                ";
  std::string_view text = kIndent;
  text.remove_suffix(kIndent.size() - 1 - 2 * depth_);
  put(text);
}

void JsonText::put_in_pieces(std::string_view text) {
  while (!text.empty() && !failed_) {
    size_t room = buffer_.size() - used_;
    size_t taken = text.size() < room ? text.size() : room;
    std::memcpy(buffer_.data() + used_, text.data(), taken);
    used_ += taken;
    text.remove_prefix(taken);
    if (used_ == buffer_.size()) flush();
  }
}

void JsonText::put_escaped(std::string_view text) {
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && is_plain(text[plain])) ++plain;
    if (plain > 0) {
      put(std::string_view(text.data(), plain));
      text.remove_prefix(plain);
      continue;
    }
    base::Character character = base::first_character(text);
    size_t length = character.bytes ? character.bytes : 1;
    if (!character.bytes) {
      put("\xef\xbf\xbd");  // U+FFFD
    } else if (character.code == '"' || character.code == '\\') {
      put('\\');
      put(text.front());
    } else if (!base::is_hidden(character.code)) {
      put(std::string_view(text.data(), length));
    } else if (character.code <= 0xffff) {
      put_escape(character.code);
    } else {  // a surrogate pair
      put_escape(0xd800 + ((character.code - 0x10000) >> 10));
      put_escape(0xdc00 + (character.code & 0x3ff));
    }
    text.remove_prefix(length);
  }
}

void JsonText::put_escape(uint32_t unit) {
  const char escape[] = {'\\',
                         'u',
                         kHexDigits[unit >> 12 & 15],
                         kHexDigits[unit >> 8 & 15],
                         kHexDigits[unit >> 4 & 15],
                         kHexDigits[unit & 15]};
  put(std::string_view(escape, sizeof escape));
}

void JsonText::put_number(uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = static_cast<char>('0' + number % 10);
  while (number /= 10);
  put(std::string_view(digits + at, sizeof digits - at));
}

void JsonText::flush() {
  if (used_ > 0 && !failed_ && !(sink_.write && sink_.write(sink_.context, std::string_view(buffer_.data(), used_))))
    failed_ = true;
  used_ = 0;
}

}  // namespace unfreed::report
