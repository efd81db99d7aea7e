// The summary of a process that is not tracked: what the kernel knows (cli/kernel_report.h).
// Internal to this folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "render/text.h"

namespace unfreed::render {

inline bool is_kernel_view(const report::Report& report) { return report.backend == "kernel"; }

/// How many descriptors lead to what: files by their path, sockets by protocol and state, others by what they are.
std::map<std::string, uint64_t> count_targets(const report::Report& report, const PathShortener& paths);

/// Descriptors by what they lead to, threads by where they wait, memory by kind.
std::string render_kernel_view(const report::Report& report, const TextOptions& options);

}  // namespace unfreed::render
