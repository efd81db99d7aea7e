#include "render/json.h"

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
  return text + '\n';
}

}  // namespace unfreed::render
