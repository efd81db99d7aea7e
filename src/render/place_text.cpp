#include "render/place_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "render/ages.h"
#include "render/frames.h"
#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/history.h"
#include "render/quantities.h"
#include "render/retention.h"
#include "render/tests.h"
#include "render/text_parts.h"
#include "render/totals_text.h"
#include "render/views.h"

namespace unfreed::render {

namespace {

/// Up to two targets, and how many more there are.
std::string describe_targets(const Place& place, const TextOptions& options) {
  std::vector<std::string> different;
  for (const report::Object* object : place.objects) {
    constexpr size_t kMostOfTarget = 48;
    std::string text =
        cut_to(options.paths.shorten(object->target.empty() ? object->name : object->target), kMostOfTarget);
    if (!text.empty() && std::find(different.begin(), different.end(), text) == different.end())
      different.push_back(text);
  }
  if (different.empty()) return {};
  size_t shown = std::min<size_t>(different.size(), 2);
  std::string text = join({different.begin(), different.begin() + static_cast<ptrdiff_t>(shown)}, ", ");
  return different.size() > shown ? text + ", …" : text;
}

/// " (3 lost)": what of a call site the process could not get at any more; "" if nothing.
std::string describe_loss(const report::Place& place) {
  std::vector<std::string> parts;
  auto add = [&](uint64_t count, const char* word) {
    if (!count) return;
    bool is_all = count == place.live;
    parts.push_back(!is_all      ? fmt::format("{} {}", write_count(count), word)
                    : count == 1 ? word
                                 : fmt::format("all {}", word));
  };
  add(place.lost, "lost");
  add(place.indirectly_lost, "indirectly lost");
  add(place.possibly_lost, "possibly lost");
  return parts.empty() ? "" : " (" + join(parts, ", ") + ")";
}

/// " by goroutine 18"
std::string describe_goroutines(const Place& place) {
  std::set<uint64_t> goroutines;
  for (const report::Object* object : place.objects)
    if (object->goroutine) goroutines.insert(*object->goroutine);
  bool is_all = std::all_of(place.sites.begin(), place.sites.end(),
                            [&](uint32_t site) { return place.report->sites[site].objects_omitted == 0; });
  if (goroutines.size() == 1) return fmt::format(" by goroutine {}", *goroutines.begin());
  if (goroutines.empty() || !is_all) return {};
  return fmt::format(" by {} goroutines", write_count(goroutines.size()));
}

}  // namespace

std::string describe_place(const Place& place, const TextOptions& options) {
  bool is_only_of_gc = place.closed_by_gc && !place.live;
  std::string heading = write_number_of(is_only_of_gc ? place.closed_by_gc : place.live, noun_of(place.site->kind));
  if (is_only_of_gc) heading += " (closed by the garbage collector, not by you)";
  heading += describe_loss(place);
  if (place.bytes) heading += ", " + write_bytes(place.bytes);
  heading += describe_growth(place) + describe_rise(place) + describe_ages(place);
  std::string text = tinted(heading, Tint::bold, options.colour);
  if (!place.site->acquired_by.empty()) text += " from " + printable(place.site->acquired_by);
  text += describe_goroutines(place);
  if (std::string targets = describe_targets(place, options); !targets.empty()) text += ": " + targets;
  return text;
}

namespace {

/// All that keeps it alive, a line for each step.
std::string render_whole_paths(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                               std::string_view indent) {
  std::string text;
  uint64_t kept = 0;
  for (const RetentionPath& path : retention.to(place, true)) {
    kept += path.blocks;
    text += fmt::format("{}{} ({}), kept alive by\n", indent, write_number_of(path.blocks, "block"),
                        write_bytes(path.bytes));
    for (const std::string& step : path.steps) {
      const char* arrow = &step == path.steps.data() ? "    " : "    → ";
      text += cut_to(fmt::format("{}{}{}", indent, arrow, printable(step)), options.columns) + "\n";
    }
  }
  uint64_t lost = place.lost + place.indirectly_lost;
  if (lost) text += fmt::format("{}{}, lost: nothing keeps them\n", indent, write_number_of(lost, "block"));
  if (kept + lost < place.live && place.report->grading)
    text += fmt::format("{}{} of which the report does not say what keeps them\n", indent,
                        write_number_of(place.live - kept - lost, "block"));
  return text;
}

/// What keeps most of it alive.
std::string render_retention(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                             std::string_view indent) {
  constexpr size_t kMostPaths = 2;
  if (place.site->kind != ledger::Kind::heap) return {};
  if (options.has_whole_paths) return render_whole_paths(place, retention, options, indent);
  std::vector<RetentionPath> paths = retention.to(place);
  std::string text;
  for (size_t at = 0; at < std::min(paths.size(), kMostPaths); ++at) {
    std::string count = paths[at].blocks < place.live ? fmt::format("{} of them ", write_count(paths[at].blocks)) : "";
    std::string line = fmt::format("{}{}kept by", indent, count);
    for (size_t step = 0; step < paths[at].steps.size(); ++step) {
      std::string more =
          fmt::format(" {}{}", step ? "→ " : "", cut_to(printable(paths[at].steps[step]), options.columns / 2));
      if (columns_of(line) + columns_of(more) > options.columns) {
        text += line + "\n";
        line = std::string(indent) + "   ";
      }
      line += more;
    }
    text += line + "\n";
  }
  if (paths.size() > kMostPaths)
    text += fmt::format("{}and {}\n", indent, write_number_of(paths.size() - kMostPaths, "more path"));
  return text;
}

/// The source around the innermost frame that has a line.
std::string render_lines_of(const Place& place, const TextOptions& options, std::string_view indent) {
  if (!options.source_lines) return {};
  std::vector<StackFrame> stack = place.stack();
  for (const ShownFrame& shown : choose_frames(stack, place.report->process.exe, options.paths, options.most_frames))
    if (shown.frame->line)
      return render_source(shown.frame->file, shown.frame->line, shown.frame->module, options, indent);
  return {};
}

}  // namespace

std::string render_place(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                         std::string_view indent) {
  std::string text = std::string(indent) + describe_place(place, options) + "\n";
  std::string deeper = std::string(indent) + "    ";
  if (place.closed_by_gc && place.live)
    text +=
        fmt::format("{}{} more closed by the garbage collector, not by you\n", deeper, write_count(place.closed_by_gc));
  std::string frames = render_frames(*place.report, place.site->stack, options, deeper);
  text += frames.empty() ? deeper + "(no stack)\n" : frames;
  if (std::string tests = describe_tests(place); !tests.empty()) text += cut_to(deeper + tests, options.columns) + "\n";
  for (const report::Hint* hint : hints_of(place))
    text += cut_to(deeper + "hint: " + printable(hint->text), options.columns) + "\n";
  text += render_lines_of(place, options, deeper) + render_retention(place, retention, options, deeper);
  if (!place.site->exceeds.empty())
    text += fmt::format("{}more than a suppression allows: {}\n", deeper, printable(place.site->exceeds));
  return text;
}
std::string render_place(const Place& place, const TextOptions& options, std::string_view indent) {
  return render_place(place, RetentionPaths(*place.report, options.paths), options, indent);
}

}  // namespace unfreed::render
