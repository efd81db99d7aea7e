// Reading JSON that may be anything: the wrong types, nested without end, cut short.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace unfreed::render {

/// Keys keep their order, so that a report that is written out again reads like the one that came in.
using Json = nlohmann::ordered_json;

/// Parses `text` and checks that it is a report of a schema version this program reads. Empty: `error` says why not.
std::optional<Json> read_report_json(std::string_view text, std::string& error);

struct Report;
/// The model of what read_report_json() has returned.
Report to_report(const Json& report);
struct OuterStacks;
/// Its "outer_stacks" alone.
OuterStacks read_outer_stacks(const Json& report);
/// The number of the node with which a site's stack goes on there; 0: it does not.
uint32_t outer_stack_of(const Json& site);

/// The member, or null where `object` has none of that name (or is no object).
const Json& member(const Json& object, const char* key);
std::string text_member(const Json& object, const char* key);
uint64_t count_member(const Json& object, const char* key);  ///< 0 for what is not a whole number ≥ 0
std::optional<int64_t> integer_member(const Json& object, const char* key);
bool flag_member(const Json& object, const char* key, bool missing);

}  // namespace unfreed::render
