// Suppression files: known and accepted resources. They stay in the report, marked, and rules do not count them.
//
//     # comment
//     fd:open_log_file           any frame's function, file or module matches the shell pattern
//     heap:libfontconfig.so*     modules by base name
//     *:signature:5f3a9c…        one site, by its signature
//     fd:open_log_file max=3     …as long as all call sites that it covers hold no more than three together (of heap
//     blocks:
//                                as long as no more are lost); of more, it covers none
//     leak:foo                   LeakSanitizer's form: heap, substring
//     { … }                      Valgrind's form, as --gen-suppressions writes it: of Memcheck:Leak and of descriptors;
//     those of
//                                other findings are passed over
//
// Patterns are shell patterns (*, ?, [...]), matched against whole names: the function as reports show it and as
// c++filt writes it (with and without its parameters) and as linked, the source file's path and base name, the module's
// path and base name. Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ledger/layout.h"
#include "settings/rules.h"

namespace unfreed::report {

struct Suppression {
  std::string_view text;  ///< the line, as written
  std::string_view pattern;
  bool any_kind = false;
  ledger::Kind kind = ledger::Kind::heap;
  bool substring = false;  ///< LeakSanitizer's rule: matches anywhere
  bool signature = false;
  bool valgrind = false;               ///< `pattern` has a line for each frame; `text` is its name
  uint8_t leak_kinds = kAllLeakKinds;  ///< of Valgrind's form: what it may cover
  std::optional<uint64_t> most;        ///< max=

  static constexpr uint8_t kDefinite = 1, kIndirect = 2, kPossible = 4, kReachable = 8, kAllLeakKinds = 15;
};

inline constexpr size_t kMaxSuppressions = 1024;
inline constexpr size_t kMostSuppressionBytes = 1 << 20;  ///< of one file

/// Reads one file's text (which must outlive the results), appending to out[count…]. False: `error` is the reason and
/// `line` (1-based) the line; what was read before stays.
bool parse_suppressions(std::string_view text, std::span<Suppression> out, size_t& count, ParseError& error,
                        size_t& line);

/// Shell pattern match over the whole of `name`: *, ?, [a-z], [!a-z], backslash escapes. Iterative, no blow-up.
bool matches_pattern(std::string_view pattern, std::string_view name);

/// True when `name` (a function, file or module of one frame) matches this suppression's pattern.
bool matches(const Suppression& suppression, std::string_view name);

/// The signature that it names, if it names one.
uint64_t signature_of(const Suppression& suppression);

/// Compares a stack with a suppression in Valgrind's form, frame by frame: first the function that acquired the
/// resource, then its callers. "..." stands for any number of frames; the stack may go on where the pattern ends.
class FrameMatcher {
 public:
  explicit FrameMatcher(const Suppression& suppression);

  struct Frame {
    std::span<const std::string_view> functions;  ///< its names, demangled and as linked
    std::string_view module;
    std::string_view file;
    uint32_t line = 0;
    bool inlined = false;  ///< Valgrind may not show it: the pattern need not mention it
  };
  void step(const Frame& frame);
  bool has_matched() const { return reached_ >> count_ & 1; }

 private:
  static bool is_matched_by(std::string_view element, const Frame& frame);
  void skip_rows();

  static constexpr size_t kMostFrames = 31;  ///< Valgrind takes 24
  std::string_view elements_[kMostFrames];
  size_t count_ = 0;
  uint32_t reached_ = 1;  ///< a bit for each number of elements that the frames so far may have matched
};

}  // namespace unfreed::report
