#include "render/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "evaluate/evaluate.h"
#include "names/demangle.h"

namespace unfreed::render {

namespace {

using report::Call;
using report::Frame;
using report::Report;
using report::Text;

/// Raw bytes of a hexadecimal build ID; "" for what is none.
std::string from_hex(Text text) {
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

bool has_line(const Call& call) {
  return std::any_of(call.frames.begin(), call.frames.end(), [](const Frame& frame) { return !frame.file.empty(); });
}

bool has_name(const Call& call) {
  return !call.frames.empty() && !call.frames[call.frames.size() - 1].function.empty();
}

class Completion {
 public:
  Completion(Report& report, symbolize::Symbolizer& symbolizer, base::Arena& arena)
      : report_(report), symbolizer_(symbolizer), arena_(arena) {}

  void complete() {
    for (Call& call : report_.stacks.calls) complete(call);
    hash_stacks();
    for (report::Site& site : report_.sites) {
      const Hashed& stack = stacks_[site.stack <= report_.stacks.nodes.size() ? site.stack : 0];
      if (stack.is_linked) site.signature = report::signature_of(stack.hash, site.kind, site.acquired_by);
    }
    for (const std::string& problem : problems_)
      if (std::find(report_.notes.begin(), report_.notes.end(), problem) == report_.notes.end())
        report_.notes.add(arena_, arena_.copy(problem));
  }

 private:
  const std::vector<symbolize::SourceFrame>& resolve(const Call& call) {
    static const std::vector<symbolize::SourceFrame> kNothing;
    if (call.module.empty()) return kNothing;
    symbolize::Module& module = symbolizer_.module(call.module, from_hex(call.build_id));
    // Offsets in reports lie inside the calling instruction already.
    const auto& frames = module.resolve(call.offset, false);
    if (!module.problem().empty()) problems_.insert(fmt::format("{} {}", call.module, module.problem()));
    return frames;
  }

  void complete(Call& call) {
    const auto& found = resolve(call);
    std::string linkage_name = found.empty() ? std::string() : found.back().linkage_name;
    linkage_names_.push_back(arena_.copy(linkage_name));
    bool is_better = !found.empty() && !has_line(call) && (!found.front().file.empty() || !has_name(call));
    if (!is_better) return spell(call);
    call.frames.clear();
    for (const symbolize::SourceFrame& one : found) {
      Frame* frame = call.frames.add(arena_);
      if (!frame) return;
      frame->function = arena_.copy(one.function);
      frame->file = arena_.copy(one.file);
      frame->line = one.line;
      frame->inlined = one.inlined;
      frame->linkage_name = linkage_names_.back();
    }
  }

  /// A process at its limits, which could not start another one, has left names as they are linked.
  void spell(Call& call) {
    for (Frame& frame : call.frames)
      if (report::is_mangled(frame.function)) frame.function = arena_.copy(symbolizer_.spell(frame.function));
  }

  /// What signatures need of every stack. Only where each function that has a name has its linkage name too is the
  /// signature worth anything.
  struct Hashed {
    uint64_t hash = report::kEmptyStackHash;
    bool is_linked = true;
  };
  void hash_stacks() {
    stacks_.assign(1, {});
    for (const report::Node& node : report_.stacks.nodes) {
      // A node's caller comes before it.
      Hashed stack = stacks_[node.caller];
      const Call& call = report_.stacks.calls[node.call - 1];
      Text linkage_name = linkage_names_[node.call - 1];
      stack.hash = report::stack_hash(stack.hash, call.module, linkage_name);
      stack.is_linked = stack.is_linked && (!linkage_name.empty() || !has_name(call));
      stacks_.push_back(stack);
    }
  }

  Report& report_;
  symbolize::Symbolizer& symbolizer_;
  base::Arena& arena_;
  std::vector<Text> linkage_names_;  ///< by call
  std::vector<Hashed> stacks_;       ///< by StackId; 0: no frames
  std::set<std::string> problems_;
};

}  // namespace

void complete(Report& report, symbolize::Symbolizer& symbolizer, base::Arena& arena) {
  Completion(report, symbolizer, arena).complete();
}

}  // namespace unfreed::render
