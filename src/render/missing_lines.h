// Which files of a report lack source lines, and how to get them.
// Internal to this folder.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "render/text.h"

namespace unfreed::render {

/// Files that a person would want to see lines of, and what to do for that: said once each.
class MissingLines {
 public:
  MissingLines(const report::Report& report, const TextOptions& options);

  void look_at(const Place& place);
  std::vector<std::string> describe() const;

 private:
  bool has_lines(std::string_view module) const { return with_lines_.contains(module); }

  const report::Report& report_;
  const TextOptions& options_;
  std::set<std::string_view> with_lines_;  ///< modules that have lines
  std::map<std::string, bool> files_;      ///< does it have names of functions?
  bool has_nameless_ = false;              ///< generated code without a name
};

/// What a file lacks, and how to get it: "no source lines for app: build it with -g". `is_named`: it has names of
/// functions.
std::string describe_missing_lines(std::string_view path, bool is_named);

/// For each file that a person would want to see lines of, and that has none: what to do for that.
std::vector<std::string> list_missing_lines(const std::vector<Place>& places, const report::Report& report,
                                            const TextOptions& options);

}  // namespace unfreed::render
