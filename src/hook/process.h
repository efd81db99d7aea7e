// Events that the process hooks pass to the runtime above them.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string_view>

#include "hook/handover.h"
#include "hook/real.h"
#include "track/exec_leaks.h"

namespace unfreed::hook {

/// The restriction that seccomp puts on a process.
enum class Sandbox : uint8_t {
  none,
  filter,  ///< some system calls are fatal, or fail; only the program knows which
  strict,  ///< all but read, write and exit are fatal, and so is reading the processor's clock
  /// Not seen, but prepared for: new privileges are given up (PR_SET_NO_NEW_PRIVS), without which no filter is
  /// accepted.
  prepared,
  /// Not seen, but to be suspected: the process ends by the one call that strict mode leaves it.
  suspected,
};

struct ProcessEvents {
  /// The process ends now, without passing through exit(): by _exit (the status), or by a signal (−signal number).
  /// Returns the status to end with.
  int (*ending)(int status) = nullptr;
  /// quick_exit was called with this status: its handlers run next.
  void (*quick_ending)(int status) = nullptr;
  /// Another program is about to replace this process; `failed`: it did not.
  void (*replacing)(bool failed) = nullptr;
  /// The same, and the program will not be tracked.
  void (*leaving)(std::string_view program, elf::Obstacle obstacle) = nullptr;
  /// System calls are about to be restricted (not Sandbox::none); `failed`: they were not.
  void (*sandboxing)(Sandbox sandbox, bool failed) = nullptr;
  /// A child has ended and was waited for, with this status (of waitpid).
  void (*collected)(int pid, int wait_status) = nullptr;
  /// system() has waited for what it started after `since_boottime_ns` (CLOCK_BOOTTIME).
  void (*command_collected)(uint64_t since_boottime_ns, int wait_status) = nullptr;
};

void set_process_events(const ProcessEvents& events);
/// The process ends now: ProcessEvents::ending, where there is one.
int process_ending(int status);
/// A wait function has reaped a child; `pid` 0: none. Keeps errno.
void child_collected(int pid, int wait_status);
void child_collected(const siginfo_t& about);
/// system() has returned this wait status. Keeps errno.
void command_collected(uint64_t since_boottime_ns, int wait_status);
/// PR_SET_CHILD_SUBREAPER, or another system call, has returned this.
void note_subreaper(long number, long option, long value, long result);
void tell_of_sandbox(Sandbox sandbox, bool failed);
/// Around an exec, which returns only if it failed.
class Replacement {
 public:
  /// `named`: the program's name as given to the call; the pointer may be invalid.
  Replacement(uint16_t hook, const char* named, const ProgramName& program, char* const* environment);
  /// The program to execute, and its environment.
  char* const* environment() const { return handover_.environment(); }
  void failed();

 private:
  Handover handover_;
  track::ExecLeaks exec_leaks_;
  bool is_reported_;
};
/// Makes an exec call with the given environment.
template <class Call>
auto replacing(Hook hook, const char* named, const ProgramName& program, char* const* environment, Call call) {
  Replacement replacement(hook::hook_number(hook), named, program, environment);
  auto result = call(replacement.environment());
  replacement.failed();
  return result;
}

/// Does this system call, prctl or seccomp or any other, restrict the process's system calls?
Sandbox sandbox_made_by(long number, long first, long second, long third);
/// Makes such a call (or one that restricts nothing); it returns a negative value on failure.
template <class Call>
long sandboxing(Sandbox sandbox, Call call) {
  tell_of_sandbox(sandbox, false);
  long result = call();
  if (result < 0) tell_of_sandbox(sandbox, true);
  return result;
}

}  // namespace unfreed::hook
