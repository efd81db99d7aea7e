// What in reports calls for action, one by one, for tools that show findings beside the code: annotations,
// code scanning, code quality, test results.
//
//     broken by a rule        the call sites that the rule counts, invalid closes, descriptors leaked across exec
//     not checked             a rule of whose kind too little was seen; a program that was not tracked
//     no rule about it        what is held of a kind that programs give back, and what is lost
//
// Processes that --rules-for leaves out, and what suppressions cover, have no findings. Several processes that leak at
// one call site are one finding, with the numbers of the worst.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "render/renderers.h"

namespace unfreed::render {

struct Finding {
  enum class Level : uint8_t {
    error,    ///< the run fails for it
    warning,  ///< no rule was given about it
    note,     ///< rules were given, and allow it
  };
  Level level = Level::note;
  std::string id;                  ///< what it is: "fd", "heap.lost", "misuse.double_close" …; stable
  std::string message;             ///< one line: "25 descriptors (all lost) from fopen64: /dev/null"
  std::vector<std::string> rules;  ///< that it breaks: "fd>0"
  std::string file;                ///< of the source, from the root; "" unknown, or not to be shown as it is
  uint32_t line = 0;
  std::string stack;        ///< frames as in summaries, a line each; "" none
  std::string fingerprint;  ///< the same in every run and build: 16 hexadecimal digits
  const report::Report* report = nullptr;
  report::StackId stack_id = 0;
  std::vector<std::string> processes;  ///< "service (pid 4032)", the worst first
  uint64_t weight = 0;                 ///< what the message counts

  /// The message, with the processes.
  std::string describe() const;
  /// The same, and the rules that it breaks.
  std::string describe_with_rules() const;
};

struct Findings {
  std::vector<Finding> list;
  uint64_t left_out = 0;  ///< call sites that are findings, too
};

/// Was a rule for any process? A run with rules that were for none does not pass.
bool any_judged(Reports reports);

/// What an id means, as a sentence; for tools that list the checks of a program.
std::string describe_id(std::string_view id);

/// Errors first, then warnings, then notes; each by kind, the worst first. Of a rule that counts more call sites than
/// `most`, the worst of them.
Findings list_findings(Reports reports, const RenderOptions& options, size_t most = 50);

class TellingFrames;

/// Where a stack is in the sources: its innermost frame below the root, else its innermost own one; not in an
/// allocation wrapper, if they are given. Line 0: nowhere.
struct SourceLine {
  std::string file;
  uint32_t line = 0;
};
SourceLine find_source_line(const report::Report& report, report::StackId stack, const SourceRoot& root,
                            const TellingFrames* telling = nullptr);

/// The root that the options name, or the one around the working directory.
SourceRoot root_of(const RenderOptions& options);

/// Hashes a stack by functions and files, without lines: for what has no signature.
std::string fingerprint_stack(const report::Report& report, report::StackId stack, std::string_view what);

}  // namespace unfreed::render
