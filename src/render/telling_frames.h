// The frame of a stack that tells what was allocated, where one frame has to do.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "render/frames.h"
#include "render/paths.h"
#include "render/places.h"

namespace unfreed::render {

/// A frame, and the one that called it, of those that a person is shown.
struct TellingFrame {
  StackFrame frame;
  std::optional<StackFrame> caller;
};

/// Knows the allocation wrappers of a report (xmalloc, g_strdup …): lines that allocate blocks of many sizes for many
/// functions. Their callers tell more. The report must outlive it.
class TellingFrames {
 public:
  TellingFrames(const report::Report& report, PathShortener paths);

  /// The innermost frame that is the user's, if there is one, and no wrapper's. Nothing: the stack is not known.
  const std::optional<TellingFrame>& of(report::StackId stack) const;
  bool is_wrapper(const StackFrame& frame) const;

 private:
  std::vector<StackFrame> choose(report::StackId stack) const;
  void find_wrappers(size_t level, const std::vector<std::pair<const report::Site*, std::vector<StackFrame>>>& stacks);

  const report::Report& report_;
  PathShortener paths_;
  std::unordered_set<std::string> wrappers_;
  mutable std::unordered_map<report::StackId, std::optional<TellingFrame>> known_;
};

/// Names a line of code, or an address where no line is known.
std::string key_of(const StackFrame& frame);

}  // namespace unfreed::render
