#include "render/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/frames.h"
#include "render/function_names.h"
#include "render/quantities.h"
#include "render/text.h"

namespace unfreed::render {

namespace {

using ledger::RootKind;
using report::Report;
using report::RetentionNode;

/// A path that is longer is cut in the middle.
constexpr size_t kMostSteps = 6;
constexpr size_t kShownAtEachEnd = kMostSteps / 2;
constexpr size_t kNameColumns = 60;

std::string describe_call(const Report& report, report::CallId id, const PathShortener& paths) {
  if (!id || id > report.stacks.calls.size()) return {};
  const report::Call& call = report.stacks.calls[id - 1];
  report::Text name = function_of(report, id);
  if (name.empty()) return fmt::format("{}+{:#x}", base_name(call.module), call.offset);
  const report::Frame& frame = call.frames[call.frames.size() - 1];
  std::string shown = fit_function(name, kNameColumns);
  return frame.line ? fmt::format("{} ({}:{})", shown, paths.shorten(frame.file), frame.line) : shown;
}

std::string describe_root(const Report& report, const RetentionNode& root, const PathShortener& paths) {
  std::string place = describe_call(report, root.place, paths);
  std::string thread = root.thread ? fmt::format("thread {}", *root.thread) : "a thread";
  switch (root.root) {
    case RootKind::variable:
      return place.empty() ? fmt::format("a variable at {:#x}", root.address.value_or(0))
                           : (root.joined ? "variables near " : "variable ") + place;
    case RootKind::thread_variable:
      return place.empty() ? "thread-local memory of " + thread
                           : fmt::format("thread-local variable {} of {}", place, thread);
    case RootKind::stack:
      return "the stack of " + thread + (place.empty() ? "" : ", in " + place);
    case RootKind::registers:
      return "a register of " + thread;
    case RootKind::memory:
      return fmt::format("memory mapped at {:#x}", root.address.value_or(0));
    case RootKind::region:
      return fmt::format("the registered region at {:#x}", root.address.value_or(0));
    case RootKind::request:
      return "the program's request (__lsan_ignore_object)";
    case RootKind::libc:
      return "libc";
    default:
      return "an unknown root";
  }
}

}  // namespace

RetentionPaths::RetentionPaths(const Report& report, const PathShortener& paths) : report_(report), paths_(paths) {
  for (size_t at = 0; at < report.retention.size(); ++at) {
    const RetentionNode& node = report.retention[at];
    if (node.parent) nodes_[node.site].push_back(&node);
    // A parent comes before its children.
    bool has_parent = node.parent && node.parent <= at;
    size_t depth = has_parent ? depths_[node.parent - 1].steps + 1 : 0;
    depths_.push_back({depth, depth <= kShownAtEachEnd ? at : depths_[node.parent - 1].early});
  }
  for (const report::Site& site : report.sites)
    if (nodes_.count(site.id)) sites_[site.id] = &site;
}

/// Nodes from `last` outwards, at most `most` of them.
std::vector<size_t> RetentionPaths::walk(size_t last, size_t most) const {
  std::vector<size_t> nodes{last};
  while (nodes.size() < most && depths_[nodes.back()].steps > 0)
    nodes.push_back(static_cast<size_t>(report_.retention[nodes.back()].parent) - 1);
  return nodes;
}

std::vector<std::string> RetentionPaths::describe(const RetentionNode& last) const {
  if (!last.parent || last.parent > report_.retention.size()) return {};
  size_t end = static_cast<size_t>(last.parent) - 1;
  bool is_cut = depths_[end].steps + 1 > kMostSteps;
  std::vector<size_t> steps = walk(is_cut ? depths_[end].early : end, kMostSteps);
  std::reverse(steps.begin(), steps.end());
  std::vector<std::string> texts{describe_root(report_, report_.retention[steps[0]], paths_)};
  for (size_t at = 1; at < steps.size(); ++at) texts.push_back(describe_step(report_.retention[steps[at]]));
  if (!is_cut) return texts;
  if (depths_[end].steps > 2 * kShownAtEachEnd) texts.emplace_back("…");
  steps = walk(end, kShownAtEachEnd);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step)
    texts.push_back(describe_step(report_.retention[*step]));
  return texts;
}

std::string RetentionPaths::describe_step(const RetentionNode& node) const {
  std::string what = node.blocks ? write_number_of(node.blocks, "block") : "a block";
  if (!node.type.empty()) what += " of " + fit_function(node.type, kNameColumns);
  auto site = sites_.find(node.site);
  if (site == sites_.end()) return what;
  std::vector<StackFrame> stack = list_frames(report_, site->second->stack);
  std::vector<ShownFrame> shown = choose_frames(stack, report_.process.exe, paths_, 1);
  if (shown.empty()) return what;
  const StackFrame& frame = *shown[0].frame;
  what += " from " + fit_function(frame.function.empty() ? base_name(frame.module) : frame.function, kNameColumns);
  return frame.line ? fmt::format("{} ({}:{})", what, paths_.shorten(frame.file), frame.line) : what;
}

std::vector<RetentionPath> RetentionPaths::to(const Place& place) const {
  std::map<std::vector<std::string>, RetentionPath> found;
  for (uint32_t at : place.sites) {
    auto nodes = nodes_.find(report_.sites[at].id);
    if (nodes == nodes_.end()) continue;
    for (const RetentionNode* node : nodes->second) {
      if (!node->blocks) continue;
      RetentionPath& path = found[describe(*node)];
      path.blocks += node->blocks;
      path.bytes += node->bytes;
    }
  }
  std::vector<RetentionPath> paths;
  for (auto& [steps, path] : found) paths.push_back({steps, path.blocks, path.bytes});
  std::stable_sort(paths.begin(), paths.end(),
                   [](const RetentionPath& a, const RetentionPath& b) { return a.bytes > b.bytes; });
  return paths;
}

}  // namespace unfreed::render
