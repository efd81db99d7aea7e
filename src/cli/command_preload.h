// LD_PRELOAD for the command of a run.
#pragma once

#include <string>

#include "elf/preload.h"

namespace unfreed::cli {

/// A name for the library that LD_PRELOAD can hold: blanks and colons end a name there and cannot be escaped.
class PreloadName {
 public:
  explicit PreloadName(const std::string& runtime);
  ~PreloadName();
  PreloadName(const PreloadName&) = delete;
  PreloadName& operator=(const PreloadName&) = delete;
  const std::string& text() const { return name_; }
  /// For processes that start others.
  void keep() { keep_ = true; }
  /// Async-signal-safe.
  void remove();

 private:
  std::string name_;
  std::string folder_;
  std::string link_;  ///< in there
  bool keep_ = false;
};

/// The value of LD_PRELOAD for a run: the library before all others that the caller has in it, but after those that
/// must come first (sanitizers' libraries).
std::string preload_list(const std::string& name);

/// The same for the run's command, found by `command`: without the library if the program cannot load it. "": the
/// variable must be unset. `verdict`: what prevents tracking.
std::string preload_of_command(const std::string& command, const std::string& list, const std::string& name,
                               elf::Verdict& verdict);

/// Is the run's command a Go program that could load the library, and better traced from outside? Its runtime makes
/// system calls without libc. Not those that start others with privileges, or that themselves trace.
bool is_better_traced(const std::string& command, const elf::Verdict& verdict);

}  // namespace unfreed::cli
