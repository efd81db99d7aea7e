// What the process hooks tell the runtime above them.
#pragma once

#include <cstdint>
#include <string_view>

#include "hook/handover.h"
#include "hook/real.h"
#include "track/exec_leaks.h"

namespace unfreed::hook {

/// What seccomp makes of a process.
enum class Sandbox : uint8_t {
  none,
  filter,  ///< some system calls are fatal, or fail; which ones is the program's to know
  strict,  ///< all but read, write and exit are fatal, and so is reading the processor's clock
};

struct ProcessEvents {
  /// The process ends now, without passing through exit(): by _exit (the status), or by a signal (−signal number).
  /// Returns the status to end with.
  int (*ending)(int status) = nullptr;
  /// quick_exit was called with this status: its handlers run next.
  void (*quick_ending)(int status) = nullptr;
  /// Another program is about to take this process over; `failed`: it did not.
  void (*replacing)(bool failed) = nullptr;
  /// The same, and the program will not be tracked.
  void (*leaving)(std::string_view program, elf::Obstacle obstacle) = nullptr;
  /// System calls are about to be restricted (not Sandbox::none); `failed`: they were not.
  void (*sandboxing)(Sandbox sandbox, bool failed) = nullptr;
};

void set_process_events(const ProcessEvents& events);
/// The process ends now: ProcessEvents::ending, where there is one.
int process_ending(int status);
void tell_of_sandbox(Sandbox sandbox, bool failed);
/// Around an exec, which returns only if it failed.
class Replacement {
 public:
  /// `named`: what the program is called, as given; it may be no valid pointer.
  Replacement(uint16_t hook, const char* named, const ProgramName& program, char* const* environment);
  /// What to execute the program with.
  char* const* environment() const { return handover_.environment(); }
  void failed();

 private:
  Handover handover_;
  track::ExecLeaks exec_leaks_;
  bool is_reported_;
};
/// Makes such a call, which takes the environment.
template <class Call>
auto replacing(Hook hook, const char* named, const ProgramName& program, char* const* environment, Call call) {
  Replacement replacement(hook::hook_number(hook), named, program, environment);
  auto result = call(replacement.environment());
  replacement.failed();
  return result;
}

/// Does this system call, prctl or seccomp or any other, restrict the process's system calls?
Sandbox sandbox_made_by(long number, long first, long second, long third);
/// Makes such a call (or one that makes no sandbox); it returns negative when it failed.
template <class Call>
long sandboxing(Sandbox sandbox, Call call) {
  tell_of_sandbox(sandbox, false);
  long result = call();
  if (result < 0) tell_of_sandbox(sandbox, true);
  return result;
}

}  // namespace unfreed::hook
