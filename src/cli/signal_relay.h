// Signals under `unfreed run`: CMD behaves as if it had been exec'ed in place of the launcher.
//
//     sent to the launcher (kill, timer, sigqueue)    passed on to CMD
//     from the terminal (^C, ^\, ^Z, its size)        nothing to do: CMD is in the same process group and gets it, too
//     CMD stops, in a shell with job control          the launcher stops in the same way
//     SIGTERM, SIGINT, SIGHUP, SIGQUIT after CMD      the launcher ends within a second
//
// Handlers do this at any time, whatever the launcher is doing.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <atomic>

namespace unfreed::cli {

/// One per process, for its whole life: it sets the dispositions of all signals.
class SignalRelay {
 public:
  /// Remembers the mask and dispositions that the launcher was started with, and blocks every signal.
  SignalRelay();
  /// Blocks signals again: there is no process left to pass them on to.
  ~SignalRelay();
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;

  /// Restores the remembered mask and dispositions in the calling process (a child of vfork). System calls only.
  void restore_inherited() const;

  /// CMD is running: passes on the signals that were held back so far, and later ones as they arrive.
  void pass_on_to(pid_t program);

  enum class News { nothing, readable, ended };
  /// Waits until CMD has ended, `descriptor` (−1: none) is readable, or that time is over (−1: no limit). While CMD is
  /// stopped the launcher stops, too, where a shell expects it. CMD stays a zombie, so that its /proc entry can be
  /// read.
  News wait(int descriptor, int milliseconds);
  /// Once CMD has ended: its status, from waitpid().
  int collect();

  /// Ends the launcher early, at most kPatienceMilliseconds after a signal that requests it. Called in a signal
  /// handler: async-signal-safe, and does not return. `status`: CMD's, as a shell has it.
  using EarlyEnd = void (*)(int signal, int status);
  void set_early_end(EarlyEnd end) { early_end_ = end; }
  static constexpr int kPatienceMilliseconds = 800;

 private:
  static void on_signal(int signal, siginfo_t* info, void*);
  static bool is_for_program(int signal, const siginfo_t& info, pid_t program);
  void pass_on(int signal, const siginfo_t& info) const;
  void note_end();
  void end_soon(int signal);
  bool has_program_ended();
  void stop_like_program(int signal);

  std::atomic<pid_t> program_{-1};
  std::atomic<uint64_t> ended_ns_{0};  ///< when CMD's end was noticed; 0: it runs
  std::atomic<int> asked_by_{0};       ///< the signal that will end the launcher
  std::atomic<EarlyEnd> early_end_{nullptr};
  std::atomic<int> shell_status_{0};  ///< CMD's, once it has ended
  sigset_t inherited_mask_;
  sigset_t inherited_ignored_;
};

}  // namespace unfreed::cli
