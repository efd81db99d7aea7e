#include "render/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

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

std::string describe_call(const Report& report, report::CallId id) {
  if (!id || id > report.stacks.calls.size()) return {};
  const report::Call& call = report.stacks.calls[id - 1];
  report::Text name = function_of(report, id);
  if (name.empty()) return fmt::format("{}+{:#x}", base_name(call.module), call.offset);
  const report::Frame& frame = call.frames[call.frames.size() - 1];
  std::string shown = fit_function(name, kNameColumns);
  return frame.line ? fmt::format("{} ({}:{})", shown, base_name(frame.file), frame.line) : shown;
}

std::string describe_root(const Report& report, const RetentionNode& root) {
  std::string place = describe_call(report, root.place);
  std::string thread = root.thread ? fmt::format("thread {}", *root.thread) : "a thread";
  switch (root.root) {
    case RootKind::variable:
      return place.empty() ? fmt::format("a variable at {:#x}", root.address.value_or(0))
                           : (root.joined ? "variables near " : "variable ") + place;
    case RootKind::thread_variable:
      return place.empty() ? "thread-local memory of " + thread
                           : fmt::format("thread-local variable {} of {}", place, thread);
    case RootKind::thread_key:
      return fmt::format("pthread key {} of {}", root.key.value_or(0), thread);
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
    case RootKind::epoll:
      return "the kernel (epoll_ctl)";
    case RootKind::timer:
      return "the kernel (timer_create)";
    case RootKind::kernel:
      return "perhaps the kernel (io_uring, aio)";
    case RootKind::hidden:
      return "a packed or tagged pointer";
    default:
      return "an unknown root";
  }
}

}  // namespace

RetentionPaths::RetentionPaths(const Report& report, const PathShortener& paths)
    : report_(report), telling_(report, paths) {
  for (const RetentionNode& node : report.retention)
    if (node.parent) nodes_[node.site].push_back(&node);
  for (const report::Site& site : report.sites)
    if (nodes_.count(site.id)) sites_[site.id] = &site;
  find_ambiguous_frames();
  for (size_t at = 0; at < report.retention.size(); ++at) add_run(at);
}

const std::optional<TellingFrame>& RetentionPaths::frame_of(const RetentionNode& node) const {
  static const std::optional<TellingFrame> kNone;
  auto site = sites_.find(node.site);
  return site == sites_.end() ? kNone : telling_.of(site->second->stack);
}

/// Two steps with the same name, one leading to the other, are ambiguous unless they stand for the same thing.
void RetentionPaths::find_ambiguous_frames() {
  for (size_t at = 0; at < report_.retention.size(); ++at) {
    const RetentionNode& node = report_.retention[at];
    if (!node.parent || node.parent > at) continue;
    const RetentionNode& parent = report_.retention[static_cast<size_t>(node.parent) - 1];
    const auto& mine = frame_of(node);
    const auto& other = frame_of(parent);
    if (!mine || !other || !mine->caller || !other->caller || node.type != parent.type) continue;
    std::string key = key_of(mine->frame);
    auto calls_itself = [](const TellingFrame& one) { return one.frame.function == one.caller->function; };
    bool is_recursive = calls_itself(*mine) || calls_itself(*other);
    if (!is_recursive && key == key_of(other->frame) && key_of(*mine->caller) != key_of(*other->caller))
      ambiguous_.insert(key);
  }
}

void RetentionPaths::add_run(size_t at) {
  const RetentionNode& node = report_.retention[at];
  // A parent comes before its children.
  if (!node.parent || node.parent > at) return runs_.push_back({0, 1, at, 0, at});
  size_t parent = static_cast<size_t>(node.parent) - 1;
  const Run& above = runs_[parent];
  uint32_t words = words_for(node);
  bool is_same = above.runs && above.words == words;
  Run run{words, is_same ? above.length + 1 : 1, is_same ? above.before : parent, above.runs + !is_same, at};
  if (run.runs > kShownAtEachEnd) run.early = above.runs > kShownAtEachEnd ? above.early : parent;
  runs_.push_back(run);
}

uint32_t RetentionPaths::words_for(const RetentionNode& node) {
  auto [known, is_new] = numbers_.try_emplace(describe_step(node), static_cast<uint32_t>(texts_.size()));
  if (is_new) texts_.push_back(known->first);
  return known->second;
}

/// Runs from that of `last` outwards, each by its last node, at most `most` of them; the root is one.
std::vector<size_t> RetentionPaths::walk(size_t last, size_t most) const {
  std::vector<size_t> nodes{last};
  while (nodes.size() < most && runs_[nodes.back()].runs > 0) nodes.push_back(runs_[nodes.back()].before);
  return nodes;
}

std::string RetentionPaths::describe_run(size_t node) const {
  const Run& run = runs_[node];
  if (!run.runs) return describe_root(report_, report_.retention[node]);
  return run.length > 1 ? fmt::format("{} ×{}", texts_[run.words], run.length) : texts_[run.words];
}

void RetentionPaths::add_steps(const std::vector<size_t>& inwards, Steps& steps) const {
  for (auto last = inwards.rbegin(); last != inwards.rend(); ++last) {
    size_t node = *last;
    while (runs_[*last].runs && report_.retention[node].parent - 1 != runs_[*last].before)
      node = static_cast<size_t>(report_.retention[node].parent) - 1;
    steps.words.push_back(describe_run(*last));
    steps.nodes.push_back(node);
  }
}

RetentionPaths::Steps RetentionPaths::describe(const RetentionNode& last, bool is_whole) const {
  if (!last.parent || last.parent > report_.retention.size()) return {};
  size_t end = static_cast<size_t>(last.parent) - 1;
  bool is_cut = !is_whole && runs_[end].runs + 1 > kMostSteps;
  Steps steps;
  add_steps(walk(is_cut ? runs_[end].early : end, is_whole ? SIZE_MAX : kMostSteps), steps);
  if (!is_cut) return steps;
  if (runs_[end].runs > 2 * kShownAtEachEnd) {
    steps.words.emplace_back("…");
    steps.nodes.push_back(kNoNode);
  }
  add_steps(walk(end, kShownAtEachEnd), steps);
  return steps;
}

/// ", retaining 1.2 MiB"
std::string RetentionPaths::describe_retained(const std::set<size_t>& nodes) const {
  uint64_t retained = 0;
  for (size_t node : nodes) retained += report_.retention[node].retained_bytes.value_or(0);
  return retained ? ", retaining " + write_bytes(retained) : "";
}

std::string RetentionPaths::describe_step(const RetentionNode& node) const {
  std::string what = node.blocks ? write_number_of(node.blocks, "block") : "a block";
  if (!node.type.empty()) what += " of " + fit_type(node.type, kNameColumns);
  const auto& telling = frame_of(node);
  if (!telling) return what;
  auto name = [](const StackFrame& frame) {
    return frame.function.empty() ? name_or_offset(frame) : fit_function(frame.function, kNameColumns);
  };
  what += " from " + name(telling->frame);
  const StackFrame* place = &telling->frame;
  if (telling->caller && ambiguous_.count(key_of(*place))) {
    place = &*telling->caller;
    what += ", called by " + name(*place);
  }
  return place->line ? fmt::format("{} ({}:{})", what, base_name(place->file), place->line) : what;
}

std::vector<RetentionPath> RetentionPaths::to(const Place& place, bool is_whole) const {
  struct Found {
    RetentionPath path;
    std::vector<std::set<size_t>> nodes;  ///< by step: which look like it
  };
  std::map<std::vector<std::string>, Found> found;
  for (uint32_t at : place.sites) {
    auto nodes = nodes_.find(report_.sites[at].id);
    if (nodes == nodes_.end()) continue;
    for (const RetentionNode* node : nodes->second) {
      if (!node->blocks) continue;
      Steps steps = describe(*node, is_whole);
      Found& one = found[steps.words];
      one.path.blocks += node->blocks;
      one.path.bytes += node->bytes;
      one.nodes.resize(steps.nodes.size());
      for (size_t step = 0; step < steps.nodes.size(); ++step)
        if (steps.nodes[step] != kNoNode) one.nodes[step].insert(steps.nodes[step]);
    }
  }
  std::vector<RetentionPath> paths;
  for (auto& [words, one] : found) {
    one.path.steps = words;
    for (size_t step = 0; step < (is_whole ? words.size() : std::min<size_t>(words.size(), 1)); ++step)
      one.path.steps[step] += describe_retained(one.nodes[step]);
    paths.push_back(std::move(one.path));
  }
  std::stable_sort(paths.begin(), paths.end(),
                   [](const RetentionPath& a, const RetentionPath& b) { return a.bytes > b.bytes; });
  return paths;
}

}  // namespace unfreed::render
