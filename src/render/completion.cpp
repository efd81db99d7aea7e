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

class Completion {
 public:
  explicit Completion(symbolize::Symbolizer& symbolizer) : symbolizer_(symbolizer) {}

  /// What outer stacks are made of; it is then told of by add_outer().
  void complete_calls(Json& report);
  /// Feeds the names of the functions of an outer stack to `signature`. Returns as complete() does.
  bool add_outer(uint32_t node, report::Signature& signature) const;

  /// Completes one stack; feeds the names of its functions to `signature` (may be nullptr). Returns whether each
  /// function that has a name has its linkage name too: only then is the signature worth anything.
  /// `last_linkage_name` receives that of the outermost function.
  bool complete(Json& stack, report::Signature* signature, std::string* last_linkage_name = nullptr);

  const std::set<std::string>& problems() const { return problems_; }

 private:
  const std::vector<symbolize::SourceFrame>& resolve(const Json& frame);

  /// What a signature needs of a call.
  struct Call {
    std::string module;
    std::string linkage_name;
    bool is_linked = true;
  };
  symbolize::Symbolizer& symbolizer_;
  std::set<std::string> problems_;
  OuterStacks outer_stacks_;
  std::vector<Call> calls_;
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

void Completion::complete_calls(Json& report) {
  outer_stacks_ = read_outer_stacks(report);
  for (size_t at = 0; at < outer_stacks_.calls.size(); ++at) {
    Json& call = report["outer_stacks"]["calls"][at];
    Call known;
    if (call.is_array() && !call.empty()) known.module = text_member(call.back(), "module");
    known.is_linked = complete(call, nullptr, &known.linkage_name);
    calls_.push_back(std::move(known));
  }
}

bool Completion::add_outer(uint32_t node, report::Signature& signature) const {
  bool all_linked = true;
  outer_stacks_.each_node(node, [&](const OuterStacks::Node& one) {
    const Call& call = calls_[one.call];
    signature.add_frame(call.module, call.linkage_name);
    all_linked = all_linked && call.is_linked;
  });
  return all_linked;
}

bool Completion::complete(Json& stack, report::Signature* signature, std::string* last_linkage_name) {
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
    if (signature) signature->add_frame(text_member(physical, "module"), linkage);
    if (last_linkage_name) *last_linkage_name = linkage;
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
      ledger::Kind kind{};
      bool is_known = report::kind_from_name(text_member(site, "kind"), kind);
      report::Signature signature(kind, text_member(site, "acquired_by"));
      bool all_linked = completion.complete(site["stack"], &signature);
      all_linked = completion.add_outer(outer_stack_of(site), signature) && all_linked;
      if (is_known && all_linked && site.contains("signature"))
        site["signature"] = fmt::format("{:016x}", signature.value());
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
