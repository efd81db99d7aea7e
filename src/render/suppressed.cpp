// What suppressions cover (--show-suppressed).
#include <fmt/format.h>

#include "render/paths.h"
#include "render/place_text.h"
#include "render/places.h"
#include "render/retention.h"
#include "render/text_parts.h"

namespace unfreed::render {

std::string render_suppressed(const report::Report& report, const TextOptions& options) {
  std::string text;
  RetentionPaths retention(report, options.paths);
  for (const Place& place : list_places(report)) {
    if (place.site->suppressed_by.empty() || (place.live == 0 && place.running == 0)) continue;
    text += "\n" + render_place(place, retention, options, "  ") +
            fmt::format("    suppressed: {}\n", printable(place.site->suppressed_by));
  }
  for (const report::Misuse& misuse : report.misuse)
    if (!misuse.suppressed_by.empty())
      text += fmt::format("\n  descriptor {}: {}, {} times\n    suppressed: {}\n", misuse.fd, misuse.type, misuse.count,
                          printable(misuse.suppressed_by));
  return text.empty() ? text : "\n  suppressed:\n" + text;
}

}  // namespace unfreed::render
