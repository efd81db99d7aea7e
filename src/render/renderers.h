// The formats of `unfreed report`, from renderers.inc.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "render/selection.h"
#include "render/source_root.h"
#include "render/text.h"
#include "report/report.h"

namespace unfreed::render {

/// At least one.
using Reports = std::span<const report::Report* const>;

/// A number of every call site: "heap.lost_bytes".
struct Measure {
  ledger::Kind kind = ledger::Kind::fd;
  report::Counter counter = report::Counter::live;
};

struct Series;

/// Ways to show a report as text.
enum class TextView : uint8_t { summary, table, tree, inverted_tree };

struct RenderOptions {
  bool colour = false;
  bool show_suppressed = false;    ///< of text: what suppressions cover, and which
  std::optional<Measure> measure;  ///< of stacks in other tools' formats: the one to show (first)
  std::optional<SourceRoot> root;  ///< that source files are named from; otherwise SourceRoot::here()

  std::vector<const Series*> series;  ///< of a page: those that reports were read from; nullptr where it was none

  // Of text.
  TextView view = TextView::summary;
  std::optional<Pattern> listed;  ///< functions whose source is shown, and nothing else
  uint32_t source_lines = 0;      ///< TextOptions::source_lines
  bool has_whole_paths = false;   ///< TextOptions::has_whole_paths
  size_t columns = kMostColumns;  ///< of the longest line
  size_t most_sites = 0;          ///< in each list, at least
};

/// What a file may hold of a format.
enum class Holds : uint8_t { pieces, whole };

struct Renderer {
  const char* name;
  std::string (*render)(Reports reports, const RenderOptions& options);
  Holds holds;
  const char* what;
};
std::span<const Renderer> renderers();
/// nullptr: there is no such format.
const Renderer* find_renderer(std::string_view name);

#define RENDERER(name, function, holds, what) std::string function(Reports reports, const RenderOptions& options);
#include "render/renderers.inc"
#undef RENDERER

/// A page for a browser that compares two reports. `text`: the same for where scripts do not run.
std::string render_difference_html(const report::Report& older, const report::Report& newer,
                                   const RenderOptions& options, std::string_view text);

}  // namespace unfreed::render
