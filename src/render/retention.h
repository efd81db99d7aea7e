// Who keeps the blocks of a call site alive, in words.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "render/paths.h"
#include "render/places.h"
#include "render/telling_frames.h"

namespace unfreed::render {

struct RetentionPath {
  /// "variable g_sessions, retaining 1.2 MiB", "1 block from open_table (table.c:12)"; what looks the same several
  /// times in a row, once: "1 block from push (stack.c:7) ×6".
  std::vector<std::string> steps;
  uint64_t blocks = 0;
  uint64_t bytes = 0;
};

/// Of a report, which must outlive it.
class RetentionPaths {
 public:
  RetentionPaths(const report::Report& report, const PathShortener& paths);

  /// From roots to the blocks of a place, those that keep most bytes first. Texts are as in the report: not escaped.
  /// `is_whole`: with every step, also of long paths.
  std::vector<RetentionPath> to(const Place& place, bool is_whole = false) const;

  const TellingFrames& telling() const { return telling_; }

 private:
  /// Steps in a row that look the same, up to a node.
  struct Run {
    uint32_t words;  ///< what they are called, in texts_; of a root: none
    size_t length;   ///< how many they are
    size_t before;   ///< the last node of the run before
    size_t runs;     ///< from the root to here, without the root
    size_t early;    ///< the last node on the way that stands before a gap; itself, if it is not so deep
  };
  void find_ambiguous_frames();
  void add_run(size_t node);
  uint32_t words_for(const report::RetentionNode& node);
  std::vector<size_t> walk(size_t last, size_t most) const;
  /// The steps of a path, and of each the outermost node that it stands for; kNoNode for a gap.
  struct Steps {
    std::vector<std::string> words;
    std::vector<size_t> nodes;
  };
  static constexpr size_t kNoNode = SIZE_MAX;
  Steps describe(const report::RetentionNode& last, bool is_whole) const;
  void add_steps(const std::vector<size_t>& inwards, Steps& steps) const;
  std::string describe_retained(const std::set<size_t>& nodes) const;
  std::string describe_run(size_t node) const;
  std::string describe_step(const report::RetentionNode& node) const;
  const std::optional<TellingFrame>& frame_of(const report::RetentionNode& node) const;

  const report::Report& report_;
  TellingFrames telling_;
  std::unordered_set<std::string> ambiguous_;  ///< frames of steps that lead to one another, for different callers
  std::vector<Run> runs_;                      ///< by node
  std::vector<std::string> texts_;
  std::unordered_map<std::string, uint32_t> numbers_;                              ///< of texts
  std::unordered_map<uint64_t, std::vector<const report::RetentionNode*>> nodes_;  ///< by site
  std::unordered_map<uint64_t, const report::Site*> sites_;                        ///< by id, of those nodes
};

}  // namespace unfreed::render
