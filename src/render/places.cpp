#include "render/places.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace unfreed::render {

std::vector<StackFrame> list_frames(const report::Report& report, report::StackId stack) {
  std::vector<StackFrame> frames;
  report.stacks.each_call(stack, [&](const report::Call& call) {
    if (call.frames.empty()) frames.push_back({{}, {}, 0, call.module, call.offset, false});
    for (const report::Frame& frame : call.frames)
      frames.push_back({frame.function.empty() ? frame.linkage_name : frame.function, frame.file, frame.line,
                        call.module, call.offset, frame.inlined});
  });
  return frames;
}

report::Text function_of(const report::Report& report, report::CallId call) {
  if (!call || call > report.stacks.calls.size()) return {};
  const auto& frames = report.stacks.calls[call - 1].frames;
  if (frames.empty()) return {};
  const report::Frame& last = frames[frames.size() - 1];
  return last.function.empty() ? last.linkage_name : last.function;
}

std::vector<Place> list_places(const report::Report& report) {
  std::vector<Place> places;
  std::map<std::tuple<ledger::Kind, report::Text, uint64_t, report::Text>, size_t> known;
  for (const report::Site& site : report.sites) {
    auto [at, is_new] =
        known.try_emplace({site.kind, site.acquired_by, site.signature, site.suppressed_by}, places.size());
    // One that stands for many is like no other.
    if (is_new || site.overflow) {
      at->second = places.size();
      places.push_back({.site = &site, .report = &report, .objects = {}});
    }
    Place& place = places[at->second];
    place.live += site.live;
    place.running += site.running;
    place.bytes += site.bytes;
    place.total += site.total;
    place.peak = std::max(place.peak, site.peak);
    place.truncated = place.truncated || site.truncated;
    for (const report::Object& object : site.objects) place.objects.push_back(&object);
  }
  return places;
}

}  // namespace unfreed::render
