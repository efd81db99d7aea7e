// The summary that a person reads in ten seconds: one line per kind for what is held, the broken rules, the worst
// call sites with a few frames each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "render/paths.h"
#include "render/places.h"
#include "render/source_text.h"

namespace unfreed::render {

/// The longest line of a summary that shows code.
inline constexpr size_t kMostColumns = 150;

struct TextOptions {
  bool colour = false;
  size_t most_sites = 5;
  size_t most_quiet_sites = 2;  ///< of kinds that are no news (heap, library), each, where no rule about it is broken
  size_t most_frames = 4;
  size_t most_notes = 5;
  size_t columns = kMostColumns;   ///< of the longest line
  bool is_table = false;           ///< call sites take a line each
  SourceTexts* sources = nullptr;  ///< for source_lines
  bool has_whole_paths = false;    ///< all that keeps a call site's blocks alive, a line for each step
  uint32_t source_lines = 0;       ///< of each call site: 0 none, 1 its line, 2 with a line before and after …
  PathShortener paths = PathShortener::here();
};

/// Several lines, each with its newline.
std::string render_text(const report::Report& report, const TextOptions& options);

/// Is a rule about that kind, or about its call sites?
bool is_about(const report::RuleOutcome& rule, ledger::Kind kind);
/// "FAIL fd>0: 3 descriptors held" (evaluate/verdict.h)
std::string describe_verdict(const report::RuleOutcome& outcome);
/// What a process still holds, in one phrase: "2 descriptors, 1 thread"; "nothing" if it holds nothing.
std::string describe_held(const report::Report& report);
/// The name of its program, without folders; as it was started where the file is not known.
std::string_view program_of(const report::Process& process);
/// "gcc (pid 1234)"
std::string describe_process(const report::Process& process);
/// "reached fd>=50: 100", where that is why a report was made.
std::string describe_threshold(const report::Threshold& threshold);

/// May output be coloured? Yes if `descriptor` is a capable terminal and NO_COLOR (https://no-color.org) is not set.
bool wants_colour(int descriptor);

}  // namespace unfreed::render
