#include "render/kernel_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/function_names.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

using report::Report;

namespace {

using Counts = std::map<std::string, uint64_t>;

/// What is alike of targets: files by their path; sockets by protocol and state ("tcp close_wait"), as addresses
/// differ; all else by what it is.
std::string kind_of(std::string_view target, const TextOptions& options) {
  if (target.starts_with('/')) return options.paths.shorten(target);
  std::string_view first = target.substr(0, target.find_first_of(" :["));
  size_t last = target.rfind(' ');
  std::string_view state = last == std::string_view::npos ? "" : target.substr(last + 1);
  bool is_state = !state.empty() && std::all_of(state.begin(), state.end(), [](char one) {
    return (one >= 'a' && one <= 'z') || one == '_' || (one >= '0' && one <= '9');
  }) && state.find_first_not_of("0123456789") != std::string_view::npos;
  if (first.empty()) return "(not known)";
  return is_state ? fmt::format("{} {}", printable(first), state) : printable(first);
}

bool has(const report::Descriptor& one, report::Text flag) {
  return std::find(one.flags.begin(), one.flags.end(), flag) != one.flags.end();
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

/// What states of descriptors say about mistakes.
std::string render_states(const Report& report) {
  uint64_t close_wait = 0, deleted = 0, hung_up = 0, unread = 0;
  for (const report::Descriptor& one : report.descriptors) {
    close_wait += one.target.ends_with(" close_wait");
    deleted += one.target.starts_with('/') && one.target.ends_with(" (deleted)");
    hung_up += has(one, "hung_up");
    unread += has(one, "unread");
  }
  std::string text;
  auto add = [&](uint64_t count, const char* noun, const char* what) {
    if (count) text += fmt::format("  hint: {} {}\n", write_number_of(count, noun), what);
  };
  add(close_wait, "connection", "in CLOSE_WAIT: the peer has closed, this side has not");
  add(deleted, "descriptor", "of deleted files, which keep their disk space until they are closed");
  add(hung_up, "pipe", "whose other end nobody has open");
  add(unread, "eventfd", "written to and not read");
  return text.empty() ? text : "\n" + text;
}

}  // namespace

std::string render_kernel_view(const Report& report, const TextOptions& options) {
  Counts targets, waits;
  for (const report::Descriptor& one : report.descriptors) ++targets[kind_of(one.target, options)];
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
  text += render_states(report);
  return text + render_counts("threads, by where they wait in the kernel", waits, kMostGroups, options);
}

}  // namespace unfreed::render
