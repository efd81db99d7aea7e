// Can a program be tracked? What its file tells before it runs.
#pragma once

#include <string>
#include <vector>

namespace unfreed::cli {

struct Diagnosis {
  bool found = false;
  bool trackable = true;
  /// The files looked at: a script's interpreters in order, the program that would be executed last.
  std::vector<std::string> files;
  std::vector<std::string> obstacles;  ///< why it cannot be tracked
  std::vector<std::string> limits;     ///< what will not be seen, or not be seen exactly
  std::vector<std::string> remarks;    ///< good to know
};

/// `command` as given to `unfreed run`: searched in PATH. Reads files, runs nothing.
Diagnosis diagnose(const std::string& command);

}  // namespace unfreed::cli
