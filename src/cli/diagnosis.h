// Examines a program's file, before it runs, to tell whether it can be tracked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "elf/obstacle.h"

namespace unfreed::cli {

struct Diagnosis {
  bool found = false;
  bool trackable = true;
  /// The files examined: a script's interpreters in order, last the program that would be executed.
  std::vector<std::string> files;
  std::vector<std::string> obstacles;            ///< why it cannot be tracked
  elf::Obstacle obstacle = elf::Obstacle::none;  ///< why the library cannot be loaded into it
  std::vector<std::string> limits;               ///< what will not be seen, or not be seen exactly
  std::vector<std::string> remarks;              ///< good to know
  bool is_traced = false;                        ///< `unfreed run` traces it, unless it is to use another backend
};

/// What the library does not see of a Go program.
inline constexpr std::string_view kGoLimit =
    "descriptors, threads, children: it is a Go program, whose runtime makes system calls without libc";

/// Does `unfreed run` trace a command that the library cannot be loaded into, unless it is to use another backend?
bool is_traced_by_default(elf::Obstacle obstacle);

/// `command` as given to `unfreed run`: searched in PATH. Reads files, runs nothing.
Diagnosis diagnose(const std::string& command);

}  // namespace unfreed::cli
