#include "render/json_input.h"

#include <fmt/format.h>

#include "render/model.h"
#include "render/validation.h"

namespace unfreed::render {

namespace {
/// Reports nest six deep. Beyond this it is an attack on somebody's stack.
constexpr int kDeepest = 64;

bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (size_t at = 0; at < text.size(); ++at) {
    char character = text[at];
    if (in_text) {
      if (character == '\\') ++at;
      if (character == '"') in_text = false;
    } else if (character == '"') {
      in_text = true;
    } else if (character == '{' || character == '[') {
      if (++depth > kDeepest) return true;
    } else if (character == '}' || character == ']') {
      --depth;
    }
  }
  return false;
}
}  // namespace

std::optional<Json> read_report_json(std::string_view text, std::string& error) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    error = "is empty";
    return {};
  }
  if (is_too_deep(text)) {
    error = "is not a report: it is nested too deeply";
    return {};
  }
  Json report;
  try {
    report = Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& problem) {
    size_t at = std::min(problem.byte ? problem.byte - 1 : 0, text.size());
    size_t line = 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'));
    bool cut = at >= text.size();
    error =
        fmt::format("is not JSON: {} at line {} (byte {})", cut ? "it ends too early" : "unexpected text", line, at);
    return {};
  } catch (const Json::exception&) {
    error = "is not JSON that can be read (a number or a text in it is out of bounds)";
    return {};
  }
  const Json& version = member(report, "schema_version");
  if (!version.is_number_integer()) {
    error = "is not a report: it has no schema_version";
    return {};
  }
  if (version != kSchemaVersion) {
    error = fmt::format("has schema_version {}, this program reads {}", version.dump(), kSchemaVersion);
    return {};
  }
  if (std::string fault = find_fault(report); !fault.empty()) {
    error = "is not a report: " + fault;
    return {};
  }
  return report;
}

const Json& member(const Json& object, const char* key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

std::string text_member(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

uint64_t count_member(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer()) return value.get<int64_t>() > 0 ? static_cast<uint64_t>(value.get<int64_t>()) : 0;
  return 0;
}

std::optional<int64_t> integer_member(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_number_integer()) return {};
  return value.get<int64_t>();
}

bool flag_member(const Json& object, const char* key, bool missing) {
  const Json& value = member(object, key);
  return value.is_boolean() ? value.get<bool>() : missing;
}

}  // namespace unfreed::render
