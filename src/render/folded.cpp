// Stacks as flamegraph.pl, inferno and speedscope read them: a line each, outermost frame first, then a number.
//
//     fd;main;service::Server::handle(int);service::Log::write(std::string const&) 25
//
// The first frame is the number's name. Without --value that is the kind, and the number is how many are live.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/frames.h"
#include "render/places.h"
#include "render/samples.h"
#include "render/text.h"

namespace unfreed::render {

namespace {

/// A frame may hold neither the character between frames nor a line's end.
std::string as_frame(std::string_view name) {
  std::string frame = printable(name);
  std::replace(frame.begin(), frame.end(), ';', ':');
  return frame;
}

std::string write_frames(const Sample& sample) {
  std::string text;
  std::vector<StackFrame> frames = list_frames(*sample.report, sample.stack());
  if (frames.empty()) return sample.site ? ";(no stack)" : ";(opened through no hooked function)";
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) text += ";" + as_frame(name_or_offset(*frame));
  return text;
}

}  // namespace

std::string render_report_folded(Reports reports, const RenderOptions& options) {
  std::map<std::string, uint64_t> stacks;
  for (const report::Report* report : reports)
    for (const Sample& sample : list_samples(*report)) {
      Measure measure = options.measure.value_or(Measure{sample.kind, report::Counter::live});
      uint64_t value = measure.kind == sample.kind ? sample.values[measure.counter] : 0;
      if (!value) continue;
      std::string line = name_of(measure);
      if (reports.size() > 1) line += ";" + as_frame(describe_process(report->process));
      stacks[line + write_frames(sample)] += value;
    }
  std::string text;
  for (const auto& [stack, value] : stacks) text += fmt::format("{} {}\n", stack, value);
  return text;
}

}  // namespace unfreed::render
