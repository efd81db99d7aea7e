#include "cli/age_filter.h"

#include <fmt/format.h>

#include "render/ages.h"
#include "settings/values.h"

namespace unfreed::cli {

void AgeFilter::add_option(Parser& parser) {
  parser.value("--older", "AGE", text_, "list only what has been held for AGE: 90s, 10m, 2h, 3d");
}

bool AgeFilter::read() {
  if (text_.empty() || report::parse_duration(text_, age_ns_)) return true;
  complain(fmt::format("--older: cannot read '{}': accepted is a number with ms, s, m, h or d", text_));
  return false;
}

void AgeFilter::apply(OwnedReport& report) const {
  if (age_ns_) render::keep_older(report.report, report.arena, age_ns_, text_);
}

}  // namespace unfreed::cli
