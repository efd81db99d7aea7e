// Built-in suppressions: settings/default_suppressions.inc. Internal to this folder. Allocation-free,
// async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "evaluate/evaluate.h"
#include "evaluate/evaluation.h"

namespace unfreed::report {

/// Indexes of built-in suppressions start here, after those of the user's.
inline constexpr uint32_t kFirstBuiltIn = 1u << 30;
std::string_view built_in_reason(uint32_t suppression);

/// The built-in suppression that covers a site of descriptors with all that it holds; kNoIndex for none.
uint32_t accepted_descriptors(const ReportInput& input, Evaluation& evaluation, uint32_t site);
/// The built-in suppression that covers a site of heap blocks, some of them lost.
uint32_t accepted_losses(const ReportInput& input, Evaluation& evaluation, uint32_t site);
/// The built-in suppression that covers an invalid close by a site.
uint32_t accepted_misuse(const ReportInput& input, Evaluation& evaluation, uint32_t site);

}  // namespace unfreed::report
