// What a report has to admit: everything that was dropped, not covered or could not be read, in plain words.
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <string_view>

#include "evaluate/evaluation.h"

namespace unfreed::report {

struct NoteSink {
  void* context = nullptr;
  void (*add)(void* context, std::string_view note) = nullptr;
};

/// Hands every note to `sink` (which may do nothing). Returns false when any of them makes the report incomplete.
/// `report` as far as it has been made.
bool list_notes(const ReportInput& input, const Evaluation& evaluation, const Report& report, const NoteSink& sink);

}  // namespace unfreed::report
