// Which programs a command line starts, as far as it says: behind wrappers (wrappers.inc) such as timeout and env, and
// in the script of `sh -c`. Nothing is run.
#pragma once

#include <string>
#include <vector>

namespace unfreed::cli {

struct ChainedProgram {
  std::string name;        ///< as given: a path, or a name to search in PATH
  std::string cleared_by;  ///< what has taken LD_PRELOAD out of its environment: "env -i"; "" nothing
  bool in_script = false;  ///< it may also be a function of the script, or text that was not understood
};

struct CommandChain {
  std::vector<ChainedProgram> programs;  ///< each name once, in the order of the command line
  /// Programs that start others which no command line names (make, a script): they are examined when they start.
  std::vector<std::string> starters;
  bool has_unknown = false;  ///< a program's name is the value of a variable, or the output of a command
};

CommandChain follow_command(const std::vector<std::string>& words);

}  // namespace unfreed::cli
