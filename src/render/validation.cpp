#include "render/validation.h"

#include <fmt/format.h>

#include <span>

#include "report/rules.h"

namespace unfreed::render {

namespace {

enum class Shape : uint8_t {
  text,
  count,    ///< a whole number, not negative
  integer,  ///< a whole number
  flag,
  kind,  ///< "fd", "heap" …
  texts,
  counts,   ///< a list of whole numbers, not negative
  stacks,   ///< a list of lists of frames
  object,   ///< of `fields`
  objects,  ///< a list of those
  map_of_counts,
  map_of_texts,
  map_of_count_maps,
};

struct Field {
  const char* name;
  Shape shape;
  std::span<const Field> fields = {};
  bool may_be_null = false;
};

constexpr Field kFrame[] = {
    {"function", Shape::text}, {"file", Shape::text},    {"line", Shape::count},   {"module", Shape::text},
    {"build_id", Shape::text}, {"offset", Shape::count}, {"inlined", Shape::flag},
};
constexpr Field kObject[] = {
    {"fd", Shape::integer},  {"thread", Shape::integer},  {"age_ns", Shape::count},
    {"target", Shape::text}, {"process", Shape::integer}, {"name", Shape::text},
    {"state", Shape::text},  {"flags", Shape::texts},     {"start_routine", Shape::object, kFrame, true},
};
constexpr Field kSite[] = {
    {"kind", Shape::kind},
    {"signature", Shape::text},
    {"grade", Shape::text},
    {"live", Shape::count},
    {"bytes", Shape::count},
    {"total", Shape::count},
    {"total_bytes", Shape::count},
    {"peak", Shape::count, {}, true},
    {"running", Shape::count},
    {"acquired_by", Shape::text},
    {"owner", Shape::text},
    {"suppressed_by", Shape::text},
    {"truncated", Shape::flag},
    {"stack", Shape::objects, kFrame},
    {"outer_stack", Shape::count},
    {"objects", Shape::objects, kObject},
};
constexpr Field kProcess[] = {
    {"pid", Shape::integer},  {"ppid", Shape::integer},      {"exe", Shape::text},
    {"argv", Shape::texts},   {"started", Shape::text},      {"duration_ns", Shape::count},
    {"forked", Shape::flag},  {"exit_status", Shape::count}, {"signal", Shape::count},
    {"program", Shape::text}, {"signal_name", Shape::text},
};
constexpr Field kRule[] = {
    {"rule", Shape::text},
    {"value", Shape::count, {}, true},
    {"broken", Shape::flag},
    {"unchecked", Shape::text},
};
constexpr Field kDescriptor[] = {{"fd", Shape::integer}, {"origin", Shape::text}, {"target", Shape::text}};
constexpr Field kFailure[] = {
    {"door", Shape::text},       {"kind", Shape::kind},
    {"error", Shape::text},      {"count", Shape::count},
    {"live_then", Shape::count}, {"thread", Shape::integer},
    {"truncated", Shape::flag},  {"stack", Shape::objects, kFrame},
};
constexpr Field kHolds[] = {{"fd", Shape::count},
                            {"heap", Shape::integer},
                            {"heap_bytes", Shape::integer},
                            {"descriptors", Shape::objects, kObject}};
constexpr Field kThread[] = {
    {"thread", Shape::integer},       {"name", Shape::text},
    {"class", Shape::text},           {"state", Shape::text},
    {"kernel_state", Shape::text},    {"start_routine", Shape::object, kFrame, true},
    {"holds", Shape::object, kHolds}, {"stack", Shape::objects, kFrame},
};
constexpr Field kPlace[] = {{"function", Shape::text}, {"thread", Shape::integer}, {"stack", Shape::objects, kFrame}};
constexpr Field kMisuse[] = {
    {"type", Shape::text},
    {"count", Shape::count},
    {"fd", Shape::integer},
    {"owner", Shape::text},
    {"opened", Shape::object, kPlace},
    {"first_closed", Shape::object, kPlace},
    {"closed", Shape::object, kPlace},
    {"suppressed_by", Shape::text},
};
constexpr Field kCrossing[] = {
    {"fd", Shape::integer},
    {"count", Shape::count},
    {"program", Shape::text},
    {"started_by", Shape::text},
    {"acquired_by", Shape::text},
    {"suppressed_by", Shape::text},
    {"stack", Shape::objects, kFrame},
};
constexpr Field kExhaustion[] = {{"door", Shape::text}, {"error", Shape::text}};
constexpr Field kModule[] = {
    {"path", Shape::text}, {"build_id", Shape::text}, {"base", Shape::count}, {"size", Shape::count}};
constexpr Field kTool[] = {{"name", Shape::text}, {"version", Shape::text}};
constexpr Field kOuterStacks[] = {{"calls", Shape::stacks}, {"call", Shape::counts}, {"outer", Shape::counts}};
constexpr Field kReport[] = {
    {"tool", Shape::object, kTool},
    {"trigger", Shape::text},
    {"complete", Shape::flag},
    {"notes", Shape::texts},
    {"process", Shape::object, kProcess},
    {"coverage", Shape::map_of_texts},
    {"reconciled", Shape::flag},
    {"totals", Shape::map_of_count_maps},
    {"rules", Shape::objects, kRule},
    {"sites", Shape::objects, kSite},
    {"outer_stacks", Shape::object, kOuterStacks},
    {"sites_omitted", Shape::count},
    {"descriptors", Shape::objects, kDescriptor},
    {"threads", Shape::objects, kThread},
    {"misuse", Shape::objects, kMisuse},
    {"inherited_by_child", Shape::objects, kCrossing},
    {"exhaustion", Shape::object, kExhaustion},
    {"failures", Shape::objects, kFailure},
    {"modules", Shape::objects, kModule},
};

std::string check(const Json& value, const Field& field);

/// Whatever is wrong inside is wrong at `place` + its own place.
std::string within(const std::string& place, const std::string& fault) {
  if (fault.empty()) return {};
  bool continues = fault.starts_with('.') || fault.starts_with('[') || fault.starts_with(' ');
  return place + (continues ? "" : ".") + fault;
}

std::string check_fields(const Json& object, std::span<const Field> fields) {
  if (!object.is_object()) return " is not an object";
  for (const Field& field : fields) {
    const auto found = object.find(field.name);
    if (found == object.end()) continue;
    std::string fault = check(*found, field);
    if (!fault.empty()) return within(field.name, fault);
  }
  return {};
}

std::string check_list(const Json& list, const Field& item) {
  if (!list.is_array()) return " is not a list";
  for (size_t at = 0; at < list.size(); ++at) {
    std::string fault = check(list[at], item);
    if (!fault.empty()) return within(fmt::format("[{}]", at), fault);
  }
  return {};
}

std::string check_map(const Json& map, const Field& item) {
  if (!map.is_object()) return " is not an object";
  for (auto it = map.begin(); it != map.end(); ++it) {
    std::string fault = check(*it, item);
    if (!fault.empty()) return within(it.key(), fault);
  }
  return {};
}

std::string check(const Json& value, const Field& field) {
  if (value.is_null() && field.may_be_null) return {};
  ledger::Kind kind{};
  switch (field.shape) {
    case Shape::text:
      return value.is_string() ? "" : " is not a text";
    case Shape::count:
      return value.is_number_unsigned() ? "" : " is not a whole number";
    case Shape::integer:
      return value.is_number_integer() ? "" : " is not a whole number";
    case Shape::flag:
      return value.is_boolean() ? "" : " is neither true nor false";
    case Shape::kind:
      if (!value.is_string()) return " is not a text";
      return report::kind_from_name(value.get_ref<const std::string&>(), kind) ? "" : " is not a kind of resource";
    case Shape::texts:
      return check_list(value, {"", Shape::text});
    case Shape::counts:
      return check_list(value, {"", Shape::count});
    case Shape::stacks:
      return check_list(value, {"", Shape::objects, kFrame});
    case Shape::object:
      return check_fields(value, field.fields);
    case Shape::objects:
      return check_list(value, {"", Shape::object, field.fields});
    case Shape::map_of_counts:
      return check_map(value, {"", Shape::count});
    case Shape::map_of_texts:
      return check_map(value, {"", Shape::text});
    case Shape::map_of_count_maps:
      return check_map(value, {"", Shape::map_of_counts});
  }
  return {};
}

}  // namespace

std::string find_fault(const Json& report) { return check_fields(report, kReport); }

}  // namespace unfreed::render
