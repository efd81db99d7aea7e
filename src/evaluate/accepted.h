// Built-in suppressions: settings/default_suppressions.inc; and the script that a process was started with.
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <climits>
#include <cstdint>
#include <span>
#include <string_view>

#include "evaluate/evaluation.h"

namespace unfreed::report {

/// Indexes of built-in suppressions start here, after those of the user's.
inline constexpr uint32_t kFirstBuiltIn = 1u << 30;
std::string_view built_in_reason(uint32_t suppression);

inline constexpr size_t kScriptBytes = PATH_MAX;
/// The path of the script that an interpreter was started with: the first argument that is not an option; "" for none.
/// Absolute, without "." and "..".
std::string_view script_of(const ledger::View& view, std::span<char> out);

/// The built-in suppression that covers a site of descriptors with all that it holds; kNoIndex for none.
uint32_t accepted_descriptors(const Evaluation& evaluation, uint32_t site);
/// The built-in suppression that covers an invalid close by a site.
uint32_t accepted_misuse(const Evaluation& evaluation, uint32_t site);

}  // namespace unfreed::report
