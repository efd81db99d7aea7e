// LD_PRELOAD for the command of a run.
#pragma once

#include <string>

#include "elf/preload.h"

namespace unfreed::cli {

/// A name for the library that LD_PRELOAD can hold: blanks and colons end a name there, and nothing escapes them.
class PreloadName {
 public:
  explicit PreloadName(const std::string& runtime);
  ~PreloadName();
  PreloadName(const PreloadName&) = delete;
  PreloadName& operator=(const PreloadName&) = delete;
  const std::string& text() const { return name_; }
  /// For processes that run on and start others.
  void keep() { keep_ = true; }
  /// Async-signal-safe.
  void remove();

 private:
  std::string name_;
  std::string folder_;
  std::string link_;  ///< in there
  bool keep_ = false;
};

/// What LD_PRELOAD says for a run: the library before all others that the caller has in it, but for those that must
/// come first themselves (sanitizers' libraries).
std::string preload_list(const std::string& name);

/// The same for the run's command, found by `command`: without the library where the program cannot take it. "": the
/// variable is not to be there. `verdict`: what stands against tracking it.
std::string preload_of_command(const std::string& command, const std::string& list, const std::string& name,
                               elf::Verdict& verdict);

}  // namespace unfreed::cli
