#include "render/places.h"

#include <algorithm>

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

std::vector<const report::Hint*> hints_of(const Place& place) {
  std::vector<const report::Hint*> hints;
  for (const report::Hint& hint : place.report->hints) {
    bool is_of_place = std::any_of(place.sites.begin(), place.sites.end(),
                                   [&](uint32_t site) { return place.report->sites[site].id == hint.site; });
    if (!is_of_place) continue;
    // Stacks that turned out to be one call site later have one each.
    auto known = std::find_if(hints.begin(), hints.end(), [&](const auto* one) { return one->name == hint.name; });
    if (known == hints.end())
      hints.push_back(&hint);
    else if (hint.count > (*known)->count)
      *known = &hint;
  }
  return hints;
}

std::vector<Place> list_places(const report::Report& report) {
  std::vector<Place> places;
  for (const report::Place& one : report.places) {
    Place& place = places.emplace_back(Place{one, &report.sites[one.first()], &report, {}});
    for (uint32_t site : one.sites)
      for (const report::Object& object : report.sites[site].objects) place.objects.push_back(&object);
  }
  return places;
}

}  // namespace unfreed::render
