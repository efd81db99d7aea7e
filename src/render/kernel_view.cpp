#include "render/kernel_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/function_names.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

using report::Report;
using Counts = std::map<std::string, uint64_t>;

namespace {

/// What descriptors are grouped by: files by their path; sockets by protocol and state ("tcp close_wait"), as addresses
/// differ; others by what they are.
std::string kind_of(std::string_view target, const PathShortener& paths) {
  if (target.starts_with('/')) return paths.shorten(target);
  std::string_view first = target.substr(0, target.find_first_of(" :["));
  size_t last = target.rfind(' ');
  std::string_view state = last == std::string_view::npos ? "" : target.substr(last + 1);
  bool is_state = !state.empty() && std::all_of(state.begin(), state.end(), [](char one) {
    return (one >= 'a' && one <= 'z') || one == '_' || (one >= '0' && one <= '9');
  }) && state.find_first_not_of("0123456789") != std::string_view::npos;
  if (first.empty()) return "(not known)";
  return is_state ? fmt::format("{} {}", printable(first), state) : printable(first);
}

std::string render_counts(std::string_view title, const Counts& counts, size_t most, const TextOptions& options) {
  if (counts.empty()) return {};
  std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& left, const auto& right) { return left.second > right.second; });
  std::string text = fmt::format("\n  {}\n", tinted(title, Tint::bold, options.colour));
  uint64_t left_out = 0;
  for (size_t at = 0; at < sorted.size(); ++at)
    if (at < most)
      text += cut_to(fmt::format("    {:>8}  {}", write_count(sorted[at].second), sorted[at].first), options.columns) +
              "\n";
    else
      left_out += sorted[at].second;
  if (left_out) text += fmt::format("    {:>8}  others\n", write_count(left_out));
  return text;
}

std::string describe_wait(const report::Thread& thread) {
  if (thread.kernel_state == "R") return "running";
  if (thread.kernel_state == "T" || thread.kernel_state == "t") return "stopped";
  std::string how = thread.kernel_state == "D" ? "waiting without being interruptible" : "waiting";
  return thread.waits_in.empty() ? how : fmt::format("{} in {}", how, printable(thread.waits_in));
}

}  // namespace

Counts count_targets(const Report& report, const PathShortener& paths) {
  Counts targets;
  for (const report::Descriptor& one : report.descriptors) ++targets[kind_of(one.target, paths)];
  return targets;
}

std::string render_kernel_view(const Report& report, const TextOptions& options) {
  Counts targets = count_targets(report, options.paths), waits;
  for (const report::Thread& one : report.threads) ++waits[describe_wait(one)];
  uint64_t descriptors = report.descriptors.size() + report.descriptors_omitted;
  std::string text = fmt::format("  fd      {} open{}\n", write_count(descriptors),
                                 report.fd_limit ? fmt::format(", of at most {}", write_count(*report.fd_limit)) : "");
  text += fmt::format("  thread  {}\n", write_count(report.threads.size() + report.threads_omitted));
  if (const auto& memory = report.memory)
    text += fmt::format("  memory  {} resident: {} of its own, {} of files, {} shared; {} swapped\n",
                        write_bytes(memory->resident), write_bytes(memory->anonymous), write_bytes(memory->file),
                        write_bytes(memory->shared), write_bytes(memory->swapped));
  constexpr size_t kMostGroups = 20;
  text += render_counts("descriptors, by what they lead to", targets, kMostGroups, options);
  if (report.descriptors_omitted)
    text += fmt::format("    {:>8}  not shown\n", write_count(report.descriptors_omitted));
  if (!report.hints.empty()) text += '\n';
  for (const report::Hint& hint : report.hints)
    text += cut_to("  hint: descriptors: " + printable(hint.text), options.columns) + "\n";
  text += render_counts("threads, by where they wait in the kernel", waits, kMostGroups, options);
  if (report.threads_omitted) text += fmt::format("    {:>8}  not shown\n", write_count(report.threads_omitted));
  return text;
}

}  // namespace unfreed::render
