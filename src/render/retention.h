// Who keeps the blocks of a call site alive, in words.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "render/paths.h"
#include "render/places.h"

namespace unfreed::render {

struct RetentionPath {
  std::vector<std::string> steps;  ///< "variable g_sessions", "1 block from open_table (table.c:12)"
  uint64_t blocks = 0;
  uint64_t bytes = 0;
};

/// Of a report, which must outlive it.
class RetentionPaths {
 public:
  RetentionPaths(const report::Report& report, const PathShortener& paths);

  /// From roots to the blocks of a place, those that keep most bytes first. Texts are as in the report: not escaped.
  std::vector<RetentionPath> to(const Place& place) const;

 private:
  struct Depth {
    size_t steps;  ///< from the root
    size_t early;  ///< the node on the way that stands before a gap; itself, if it is not so deep
  };
  std::vector<size_t> walk(size_t last, size_t most) const;
  std::vector<std::string> describe(const report::RetentionNode& last) const;
  std::string describe_step(const report::RetentionNode& node) const;

  const report::Report& report_;
  PathShortener paths_;
  std::vector<Depth> depths_;                                                      ///< by node
  std::unordered_map<uint64_t, std::vector<const report::RetentionNode*>> nodes_;  ///< by site
  std::unordered_map<uint64_t, const report::Site*> sites_;                        ///< by id, of those nodes
};

}  // namespace unfreed::render
