#include "render/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "evaluate/places.h"
#include "names/demangle.h"
#include "render/times.h"

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
      : report_(report), symbolizer_(symbolizer), arena_(arena) {
    int64_t started = realtime_ns(report.process.started);
    int64_t ended = started + static_cast<int64_t>(report.process.duration_ns.value_or(0));
    perf_map_ = &symbolizer.perf_map(
        {.root = {}, .pid = static_cast<int>(report.process.pid), .started_ns = started, .seen_ns = ended, .user = {}});
  }

  void complete() {
    for (Call& call : report_.stacks.calls) complete(call);
    find_places();
    sign_sites();
    report::regroup_places(report_, arena_);
    for (const std::string& problem : problems_)
      if (std::find(report_.notes.begin(), report_.notes.end(), problem) == report_.notes.end())
        report_.notes.add(arena_, arena_.copy(problem));
  }

 private:
  const std::vector<symbolize::SourceFrame>& resolve(const Call& call) {
    if (call.module.empty()) {
      generated_ = perf_map_->resolve(call.offset);
      return generated_;
    }
    symbolize::Module& module = symbolizer_.module(call.module, from_hex(call.build_id));
    // Offsets in reports lie inside the calling instruction already.
    const auto& frames = module.resolve(call.offset, false);
    if (!module.problem().empty()) problems_.insert(fmt::format("{} {}", call.module, module.problem()));
    return frames;
  }

  void complete(Call& call) {
    const auto& found = resolve(call);
    frames_.emplace_back();
    frames_.back().is_known = !found.empty() || call.frames.empty();
    for (const symbolize::SourceFrame& one : found) {
      report::ResolvedFrame resolved = symbolize::as_resolved(one);
      frames_.back().frames.push_back(report::place_frame(call.module, call.offset, &resolved));
    }
    if (found.empty()) frames_.back().frames.push_back(report::place_frame(call.module, call.offset, nullptr));
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
    }
  }

  /// A process at its limits, which could not start another one, has left names as they are linked.
  void spell(Call& call) {
    for (Frame& frame : call.frames)
      if (report::is_mangled(frame.function)) frame.function = arena_.copy(symbolizer_.spell(frame.function));
  }

  /// By stack. A frame that has a name in the report but none here is in a file that is no longer here: the notes on
  /// its stacks stay.
  void find_places() {
    stacks_.assign(1, {});
    for (const report::Node& node : report_.stacks.nodes) {
      // A node's caller comes before it.
      KnownStack stack = stacks_[node.caller];
      const KnownCall& call = frames_[node.call - 1];
      stack.place.add(call.frames);
      stack.is_known = stack.is_known && call.is_known;
      stacks_.push_back(stack);
    }
  }

  void sign_sites() {
    std::vector<report::SignedStack> places;
    std::vector<report::Site*> sites;
    for (report::Site& site : report_.sites) {
      const KnownStack& stack = stacks_[site.stack <= report_.stacks.nodes.size() ? site.stack : 0];
      if (!stack.is_known) continue;
      sites.push_back(&site);
      uint64_t signature = report::signature_of(stack.place.lasting(), site.kind, site.acquired_by);
      places.push_back({signature, stack.place.exact()});
      site.known_by = stack.place.known_by();
    }
    std::vector<uint32_t> order(places.size());
    report::settle_signatures(places, order);
    for (size_t at = 0; at < sites.size(); ++at) sites[at]->signature = places[at].signature;
  }

  struct KnownCall {
    std::vector<report::PlaceFrame> frames;
    bool is_known = true;
  };
  struct KnownStack {
    report::StackPlace place;
    bool is_known = true;
  };

  Report& report_;
  symbolize::Symbolizer& symbolizer_;
  base::Arena& arena_;
  const symbolize::PerfMap* perf_map_;
  std::vector<symbolize::SourceFrame> generated_;  ///< resolve()'s last answer from perf_map_
  std::vector<KnownCall> frames_;                  ///< by call
  std::vector<KnownStack> stacks_;                 ///< by StackId; 0: no frames
  std::set<std::string> problems_;
};

}  // namespace

void complete(Report& report, symbolize::Symbolizer& symbolizer, base::Arena& arena) {
  Completion(report, symbolizer, arena).complete();
}

}  // namespace unfreed::render
