#include "render/telling_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace unfreed::render {

namespace {

/// Wrappers call one another: one of strdup calls one of malloc.
constexpr size_t kLevels = 2;
constexpr size_t kMany = 4;
/// Of a stack: behind all wrappers, the frame that tells what was allocated, and its caller.
constexpr size_t kFrames = kLevels + 2;
/// What the first ones do not show is rare.
constexpr size_t kMostSites = 4096;

std::string function_key(const StackFrame& frame) {
  return frame.function.empty() ? fmt::format("{}+{:#x}", frame.module, frame.offset) : std::string(frame.function);
}

}  // namespace

std::string key_of(const StackFrame& frame) {
  return frame.line ? fmt::format("{}:{}:{}", frame.file, frame.line, frame.function)
                    : fmt::format("{}+{:#x}", frame.module, frame.offset);
}

TellingFrames::TellingFrames(const report::Report& report, PathShortener paths)
    : report_(report), paths_(std::move(paths)) {
  std::vector<std::pair<const report::Site*, std::vector<StackFrame>>> stacks;
  for (const report::Site& site : report.sites)
    if (site.kind == ledger::Kind::heap && site.total && stacks.size() < kMostSites)
      stacks.emplace_back(&site, choose(site.stack));
  for (size_t level = 0; level < kLevels; ++level) find_wrappers(level, stacks);
}

std::vector<StackFrame> TellingFrames::choose(report::StackId stack) const {
  std::vector<StackFrame> frames = list_frames(report_, stack);
  std::vector<StackFrame> chosen;
  for (const ShownFrame& shown : choose_frames(frames, report_.process.exe, paths_, kFrames))
    chosen.push_back(*shown.frame);
  return chosen;
}

bool TellingFrames::is_wrapper(const StackFrame& frame) const { return wrappers_.count(key_of(frame)) > 0; }

/// Among the frames that stand behind so many wrappers.
void TellingFrames::find_wrappers(size_t level,
                                  const std::vector<std::pair<const report::Site*, std::vector<StackFrame>>>& stacks) {
  struct Use {
    std::set<std::string> callers;
    std::set<uint64_t> sizes;
  };
  std::unordered_map<std::string, Use> uses;
  for (const auto& [site, frames] : stacks) {
    if (frames.size() < level + 2) continue;
    auto behind = frames.begin() + static_cast<ptrdiff_t>(level);
    if (!std::all_of(frames.begin(), behind, [&](const StackFrame& frame) { return is_wrapper(frame); })) continue;
    std::string caller = function_key(behind[1]);
    if (caller == function_key(*behind)) continue;
    Use& use = uses[key_of(*behind)];
    use.callers.insert(caller);
    use.sizes.insert(site->total_bytes / site->total);
  }
  for (const auto& [frame, use] : uses)
    if (use.callers.size() >= kMany && use.sizes.size() >= kMany) wrappers_.insert(frame);
}

const std::optional<TellingFrame>& TellingFrames::of(report::StackId stack) const {
  auto [known, is_new] = known_.try_emplace(stack);
  if (!is_new) return known->second;
  std::vector<StackFrame> frames = choose(stack);
  if (frames.empty()) return known->second;
  size_t at = 0;
  while (at < kLevels && at + 1 < frames.size() && is_wrapper(frames[at])) ++at;
  known->second = TellingFrame{frames[at], {}};
  if (at + 1 < frames.size()) known->second->caller = frames[at + 1];
  return known->second;
}

}  // namespace unfreed::render
