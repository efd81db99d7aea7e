// What the page for browsers (html.cpp) knows, as JSON: stacks and call sites of one or several reports, in numbers
// that the page sorts, filters and draws, and every other section of a report in the words of the text summary. The
// page's scripts (html/) only show it.
//
//     frames   [[function, place, file, line, "module+0x12", flags], …]   each once, in all reports
//     nodes    [frame, node of the caller + 1 or 0, …]                    stacks share the nodes of common callers
//     sources  {file: {"newer": true, "parts": [[first line, [line, …]], …]}}
//     reports  [{…, "places": [[…] in the order of "columns", …], "sections": [{id, title, items}, …]}, …]
//
// Texts are printable (paths.h).
// Internal to this folder.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "render/places.h"
#include "render/renderers.h"
#include "render/source_text.h"
#include "render/text.h"

namespace unfreed::render {

/// Stacks and sources of a page, each once.
class PageStacks {
 public:
  PageStacks(const TextOptions& options, SourceTexts& sources) : options_(options), sources_(sources) {}

  /// The number of a stack's innermost node + 1; 0: no stack.
  uint64_t add(const report::Report& report, report::StackId stack);
  uint64_t add_frame(const StackFrame& frame);
  /// The source around the innermost frames of the user's is wanted.
  void want_source(const report::Report& report, report::StackId stack);

  nlohmann::json frames() const { return frames_; }
  nlohmann::json nodes() const { return nodes_; }
  nlohmann::json sources();

 private:
  uint64_t add_node(uint64_t frame, uint64_t caller);

  const TextOptions& options_;
  SourceTexts& sources_;
  nlohmann::json frames_ = nlohmann::json::array();
  nlohmann::json nodes_ = nlohmann::json::array();
  std::map<std::tuple<std::string_view, std::string_view, uint32_t, std::string_view, uint64_t, bool>, uint64_t>
      known_frames_;
  std::unordered_map<uint64_t, uint64_t> known_nodes_;  ///< by frame and caller
  std::map<std::pair<const report::Report*, report::StackId>, uint64_t> known_stacks_;
  std::map<std::string, std::pair<std::string, std::set<uint32_t>>> wanted_;  ///< by file: its module, and lines
};

/// All that the page knows. `view`: what it shows first: "report", or "diff" of the first two reports.
nlohmann::json page_data(Reports reports, const RenderOptions& options, std::string_view view);

/// The sections of a report next to its call sites (page_sections.cpp).
nlohmann::json page_sections(const report::Report& report, PageStacks& stacks, const TextOptions& options);

}  // namespace unfreed::render
