// The environment that another program is started with. Before exec and spawn the program's file is examined (past PATH
// and "#!" lines); if it cannot load this library, the library is left out of LD_PRELOAD in its environment, for that
// one call. A program that will not be tracked is recorded with the reason.
//
// Nothing is kept from call to call: examining costs a dozen system calls, a few microseconds, while starting a program
// costs hundreds. No malloc; async-signal-safe; fit for a vfork child, which runs on its parent's memory.
#pragma once

#include <fcntl.h>

#include <string_view>

#include "base/text.h"
#include "elf/preload.h"

namespace unfreed::hook {

/// How this library came into the process; set once, at the start, and empty until then.
struct Preloading {
  char entry[1024];                            ///< the entry of LD_PRELOAD that names it; "": it came by other means
  char library[1024];                          ///< its own file
  bool has_session;                            ///< UNFREED_SESSION was there
  char* const* forced;                         ///< what programs get whose environment lacks it; null: nothing
  bool (*is_apart)();                          ///< are ledgers made here out of the launcher's reach? null: never
  bool (*is_noted)(std::string_view program);  ///< is the user informed if this one is not tracked? null: never
};
extern Preloading g_preloading;

/// The program: a path, relative to a directory; or a name that is searched in PATH as the shell does.
struct ProgramName {
  const char* text = nullptr;
  long directory = AT_FDCWD;
  bool is_searched = false;
  char* const* arguments = nullptr;  ///< as given to the call; null: not known
};

/// What system and popen start. They pass the process's own environment on as it is.
inline constexpr const char* kShell = "/bin/sh";

/// The program of an open descriptor.
class ProgramOfDescriptor {
 public:
  explicit ProgramOfDescriptor(int fd) { path_.add("/proc/self/fd/").add_signed(fd); }
  ProgramName name(char* const* arguments) const { return {path_.c_str(), AT_FDCWD, false, arguments}; }

 private:
  base::FixedText<32> path_;
};
/// Does execveat, with these arguments, execute the program of its descriptor?
bool names_descriptor(const char* path, int flags);

class GivenMemory;

class Handover {
 public:
  /// `environment` as given to the call: the memory that it points to may be unreadable.
  Handover(const ProgramName& program, char* const* environment);
  ~Handover();
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  /// What to start the program with.
  char* const* environment() const { return environment_; }

  /// Is it a program that will not be tracked, and of which the user is to be informed?
  bool is_told() const;
  std::string_view program() const { return path_.text(); }
  elf::Obstacle obstacle() const { return verdict_.obstacle; }
  /// Records one that is_told(): before an exec in this process, which may still fail.
  void note_replacing();
  void take_back();
  /// After a spawn, which has started process `pid` (0: unknown).
  void note_started(int pid);

 private:
  void look_at(const ProgramName& program);
  void look_at_loaded(char* const* arguments);
  void judge_environment();
  void replace_preload();
  bool restore_environment(GivenMemory& memory);

  static constexpr size_t kNone = static_cast<size_t>(-1);

  char* const* environment_;
  elf::Verdict verdict_;
  base::FixedText<1024> path_;  ///< of the program; "": not found
  size_t entries_ = 0;          ///< of the environment
  size_t preload_ = kNone;      ///< which of them is LD_PRELOAD
  bool is_noted_ = false;
};

}  // namespace unfreed::hook
