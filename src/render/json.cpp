#include "render/json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.h"

namespace unfreed::render {

namespace {

constexpr auto kReplace = Json::error_handler_t::replace;

bool is_flat(const Json& value) {
  if (!value.is_structured()) return true;
  for (const Json& part : value)
    if (part.is_structured() && !part.empty()) return false;
  return true;
}

/// Small things on one line, with blanks after ':' and ','.
void write_compact(const Json& value, std::string& out) {
  if (!value.is_structured()) {
    out += value.dump(-1, ' ', false, kReplace);
    return;
  }
  bool is_object = value.is_object();
  out += is_object ? '{' : '[';
  bool first = true;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!first) out += ", ";
    first = false;
    if (is_object) out += Json(it.key()).dump(-1, ' ', false, kReplace) + ": ";
    write_compact(*it, out);
  }
  out += is_object ? '}' : ']';
}

/// Characters that would disturb a terminal as \uNNNN: they stand in texts only.
std::string without_hidden(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    base::Character character = base::first_character(text);
    // The text's own line ends; those in its strings are escaped already.
    bool is_written = character.bytes == 0 || character.code < 0x20 || !base::is_hidden(character.code);
    if (is_written)
      out += base::slice(text, 0, character.bytes);
    else if (character.code <= 0xffff)
      out += fmt::format("\\u{:04x}", character.code);
    else
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((character.code - 0x10000) >> 10),
                         0xdc00 + (character.code & 0x3ff));
    text.remove_prefix(std::max<size_t>(character.bytes, 1));
  }
  return out;
}

/// Depth is bounded by read_report_json.
void write(const Json& value, size_t indent, std::string& out) {
  // An array of flat things has one a line; an object stands on one line when it is a leaf below the top.
  if (value.empty() || !value.is_structured() || (is_flat(value) && indent > 2)) {
    write_compact(value, out);
    return;
  }
  bool is_object = value.is_object();
  out += is_object ? "{\n" : "[\n";
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (it != value.begin()) out += ",\n";
    out.append(indent, ' ');
    if (is_object) out += Json(it.key()).dump(-1, ' ', false, kReplace) + ": ";
    write(*it, indent + 2, out);
  }
  out += '\n';
  out.append(indent - 2, ' ');
  out += is_object ? '}' : ']';
}

}  // namespace

std::string render_json(const Json& report) {
  std::string text;
  write(report, 2, text);
  return without_hidden(text) + '\n';
}

}  // namespace unfreed::render
