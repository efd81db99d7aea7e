// Assembles JSON text and hands it to a sink in large pieces. The JSON is valid whatever bytes the values hold: bytes
// that are not UTF-8 become U+FFFD, and characters that would disturb a terminal \uNNNN (base/printable.h). Internal
// to this folder. Allocation-free, async-signal-safe if the sink is.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "report/json_writer.h"

namespace unfreed::report {

/// The layout of an object or array: one member per line, or all on one line.
enum class Layout : uint8_t { lines, compact };

class JsonText {
 public:
  JsonText(const Sink& sink, std::span<char> buffer) : sink_(sink), buffer_(buffer), failed_(buffer.empty()) {}

  void begin_object(Layout layout = Layout::lines) { begin('{', layout); }
  void end_object() { end('}'); }
  void begin_array(Layout layout = Layout::lines) { begin('[', layout); }
  void end_array() { end(']'); }

  /// The next value's name, in an object.
  JsonText& key(std::string_view name);

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(bool truth);
  void value(uint64_t number);
  void value(uint32_t number) { value(uint64_t{number}); }
  void value(int64_t number);
  void value(int32_t number) { value(int64_t{number}); }
  void null();
  /// 16 hexadecimal digits, as text.
  void hash_value(uint64_t hash);

  template <class T>
  void member(std::string_view name, T member_value) {
    key(name).value(member_value);
  }

  /// Writes what is still buffered. False if the sink refused anything.
  bool finish();
  bool failed() const { return failed_; }

 private:
  static constexpr size_t kMaxDepth = 16;

  void begin(char bracket, Layout layout);
  void end(char bracket);
  void separate();
  void new_line();
  void put(std::string_view text);
  void put(char character);
  void put_in_pieces(std::string_view text);
  void put_escaped(std::string_view text);
  void put_escape(uint32_t unit);
  void put_number(uint64_t number);
  void flush();

  Sink sink_;
  std::span<char> buffer_;
  size_t used_ = 0;
  size_t depth_ = 0;
  Layout layouts_[kMaxDepth] = {};
  bool has_members_[kMaxDepth] = {};
  bool after_key_ = false;
  bool failed_;
};

}  // namespace unfreed::report
