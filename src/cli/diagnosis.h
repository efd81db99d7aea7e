// Examines a program's file, before it runs, to tell whether it can be tracked.
#pragma once

#include <string>
#include <vector>

namespace unfreed::cli {

struct Diagnosis {
  bool found = false;
  bool trackable = true;
  /// The files examined: a script's interpreters in order, last the program that would be executed.
  std::vector<std::string> files;
  std::vector<std::string> obstacles;  ///< why it cannot be tracked
  std::vector<std::string> limits;     ///< what will not be seen, or not be seen exactly
  std::vector<std::string> remarks;    ///< good to know
};

/// `command` as given to `unfreed run`: searched in PATH. Reads files, runs nothing.
Diagnosis diagnose(const std::string& command);

}  // namespace unfreed::cli
