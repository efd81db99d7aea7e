// The notes of a report: everything that was dropped, not covered or could not be read.
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <string_view>

#include "evaluate/evaluation.h"

namespace unfreed::report {

struct NoteSink {
  void* context = nullptr;
  void (*add)(void* context, std::string_view note) = nullptr;
};

/// Passes every note to `sink` (which may do nothing). Returns false if any of them makes the report incomplete.
/// `report`: what has been built of it so far.
bool list_notes(const ReportInput& input, const Evaluation& evaluation, const Report& report, const NoteSink& sink);

}  // namespace unfreed::report
