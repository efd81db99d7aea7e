// A line per kind: its name and how many are held.
#include "render/renderers.h"

namespace unfreed::render {

std::string render_report_counts(Reports reports, const RenderOptions&) {
  std::string text;
  for (const report::Report* report : reports)
    for (size_t at = 0; at < ledger::kKindCount; ++at)
      if (report->totals[at])
        text += std::string(report::kSubjects[at].name) + " " +
                std::to_string((*report->totals[at])[report::Counter::live]) + "\n";
  return text;
}

}  // namespace unfreed::render
