#include "render/completion.h"

#include <fmt/format.h>

#include <set>

#include "render/model.h"
#include "report/json.h"

namespace unfreed::render {

namespace {

/// Raw bytes of a hexadecimal build ID; "" for what is none.
std::string from_hex(const std::string& text) {
  std::string bytes;
  if (text.size() % 2) return bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    unsigned value = 0;
    for (char digit : {text[at], text[at + 1]}) {
      if (digit >= '0' && digit <= '9')
        value = value * 16 + static_cast<unsigned>(digit - '0');
      else if (digit >= 'a' && digit <= 'f')
        value = value * 16 + static_cast<unsigned>(digit - 'a' + 10);
      else
        return {};
    }
    bytes += static_cast<char>(value);
  }
  return bytes;
}

Json to_json(const symbolize::SourceFrame& from, const Json& like) {
  Json frame = Json::object();
  if (!from.function.empty()) frame["function"] = from.function;
  if (!from.file.empty()) frame["file"] = from.file;
  if (from.line) frame["line"] = from.line;
  for (const char* key : {"module", "build_id", "offset"})
    if (like.contains(key)) frame[key] = like[key];
  frame["inlined"] = from.inlined;
  return frame;
}

/// What a signature needs of a function.
struct LinkedFunction {
  std::string module;
  std::string linkage_name;
};

class Completion {
 public:
  explicit Completion(symbolize::Symbolizer& symbolizer) : symbolizer_(symbolizer) {}

  /// Completes what outer stacks are made of. Before the sites.
  void complete_calls(Json& report);

  /// Completes a site's stack, and its signature where each function that has a name has its linkage name too: only
  /// then is the signature worth anything.
  void complete_site(Json& site);

  /// Completes one stack. `functions` (may be nullptr) receives its functions, innermost first. Returns whether each
  /// that has a name has its linkage name too.
  bool complete(Json& stack, std::vector<LinkedFunction>* functions);

  const std::set<std::string>& problems() const { return problems_; }

 private:
  const std::vector<symbolize::SourceFrame>& resolve(const Json& frame);

  symbolize::Symbolizer& symbolizer_;
  std::set<std::string> problems_;
  /// By number of an outer stack's node, 0 for none: what signatures need of the stack from there on.
  struct OuterStack {
    uint64_t hash = report::kEmptyStackHash;
    bool is_linked = true;
  };
  std::vector<OuterStack> outer_stacks_{1};
};

const std::vector<symbolize::SourceFrame>& Completion::resolve(const Json& frame) {
  static const std::vector<symbolize::SourceFrame> kNothing;
  std::string path = text_member(frame, "module");
  if (path.empty() || !member(frame, "offset").is_number_unsigned()) return kNothing;
  symbolize::Module& module = symbolizer_.module(path, from_hex(text_member(frame, "build_id")));
  // Offsets in reports lie inside the calling instruction already.
  const auto& frames = module.resolve(count_member(frame, "offset"), false);
  if (!module.problem().empty()) problems_.insert(path + " " + module.problem());
  return frames;
}

uint64_t add_functions(uint64_t hash, const std::vector<LinkedFunction>& functions) {
  for (size_t at = functions.size(); at-- > 0;)
    hash = report::stack_hash(hash, functions[at].module, functions[at].linkage_name);
  return hash;
}

void Completion::complete_calls(Json& report) {
  OuterStacks stacks = read_outer_stacks(report);
  std::vector<std::vector<LinkedFunction>> functions(stacks.calls.size());
  std::vector<bool> are_linked(stacks.calls.size());
  for (size_t at = 0; at < stacks.calls.size(); ++at)
    are_linked[at] = complete(report["outer_stacks"]["calls"][at], &functions[at]);
  for (const OuterStacks::Node& node : stacks.nodes) {
    // A node's caller comes before it; damage is a stack's end.
    OuterStack outer = node.outer < outer_stacks_.size() ? outer_stacks_[node.outer] : OuterStack();
    if (node.call < functions.size()) {
      outer.hash = add_functions(outer.hash, functions[node.call]);
      outer.is_linked = outer.is_linked && are_linked[node.call];
    }
    outer_stacks_.push_back(outer);
  }
}

void Completion::complete_site(Json& site) {
  std::vector<LinkedFunction> functions;
  bool is_linked = complete(site["stack"], &functions);
  uint32_t number = outer_stack_of(site);
  OuterStack outer = number < outer_stacks_.size() ? outer_stacks_[number] : OuterStack();
  ledger::Kind kind{};
  bool is_known = report::kind_from_name(text_member(site, "kind"), kind);
  if (!is_known || !is_linked || !outer.is_linked || !site.contains("signature")) return;
  uint64_t signature =
      report::signature_of(add_functions(outer.hash, functions), kind, text_member(site, "acquired_by"));
  site["signature"] = fmt::format("{:016x}", signature);
}

bool Completion::complete(Json& stack, std::vector<LinkedFunction>* functions) {
  if (!stack.is_array()) return false;
  Json completed = Json::array();
  bool all_linked = true;
  // Frames inlined into a function stand right before it.
  for (size_t first = 0; first < stack.size();) {
    size_t last = first;
    while (last + 1 < stack.size() && flag_member(stack[last], "inlined", false)) ++last;
    const Json& physical = stack[last];
    if (!physical.is_object()) return false;
    const auto& found = resolve(physical);
    bool has_line = false;
    for (size_t at = first; at <= last; ++at) has_line = has_line || !text_member(stack[at], "file").empty();
    bool is_better = !found.empty() && !has_line && (!found.front().file.empty() || !physical.contains("function"));
    if (is_better)
      for (const symbolize::SourceFrame& one : found) completed.push_back(to_json(one, physical));
    else
      for (size_t at = first; at <= last; ++at) completed.push_back(stack[at]);
    std::string linkage = found.empty() ? std::string() : found.back().linkage_name;
    if (linkage.empty() && physical.contains("function")) all_linked = false;
    if (functions) functions->push_back({text_member(physical, "module"), std::move(linkage)});
    first = last + 1;
  }
  stack = std::move(completed);
  return all_linked;
}

}  // namespace

void complete_frames(Json& report, symbolize::Symbolizer& symbolizer) {
  Completion completion(symbolizer);
  completion.complete_calls(report);
  if (report.contains("sites")) {
    for (Json& site : report["sites"]) {
      if (!site.is_object() || !site.contains("stack")) continue;
      completion.complete_site(site);
      if (!site.contains("objects") || !site["objects"].is_array()) continue;
      for (Json& object : site["objects"]) {
        if (!object.is_object() || !object.contains("start_routine")) continue;
        Json alone = Json::array({object["start_routine"]});
        completion.complete(alone, nullptr);
        if (!alone.empty()) object["start_routine"] = alone.back();
      }
    }
  }
  if (report.contains("failures"))
    for (Json& failure : report["failures"])
      if (failure.is_object() && failure.contains("stack")) completion.complete(failure["stack"], nullptr);
  if (completion.problems().empty()) return;
  if (!report.contains("notes") || !report["notes"].is_array()) report["notes"] = Json::array();
  for (const std::string& problem : completion.problems())
    if (std::find(report["notes"].begin(), report["notes"].end(), problem) == report["notes"].end())
      report["notes"].push_back(problem);
}

}  // namespace unfreed::render
