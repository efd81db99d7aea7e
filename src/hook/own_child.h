// A child process of the runtime's own, made for a report: the program's wait functions must not return it.
//
// It is made with exit signal 0, so the kernel raises no SIGCHLD for it and returns it from no wait function without
// __WALL or __WCLONE. The hooks leave it out (own_child_collected) and keep its status for the runtime.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdint>

namespace unfreed::hook {

/// One at a time.
struct OwnChild {
  /// Set by the kernel (CLONE_PARENT_SETTID) before the child runs, and before any wait function can meet it; 0: none.
  std::atomic<pid_t> pid;
  /// Set when a wait function has collected it: kCollected and the wait status below it. 0: not yet.
  std::atomic<uint64_t> collected;
};
inline constexpr uint64_t kCollected = uint64_t{1} << 32;
inline constinit OwnChild g_own_child{};

/// A wait function is about to return this child to the program. True: it is the runtime's; repeat the call.
/// Thread-safe, async-signal-safe.
inline bool own_child_collected(pid_t pid, int status) {
  if (pid <= 0 || pid != g_own_child.pid.load(std::memory_order_acquire)) [[likely]]
    return false;
  if (WIFEXITED(status) || WIFSIGNALED(status))
    g_own_child.collected.store(kCollected | static_cast<uint32_t>(status), std::memory_order_release);
  return true;
}

/// The same for waitid. With WNOWAIT the child would be returned again: it is collected here.
bool own_child_met(const siginfo_t& about, int options);

}  // namespace unfreed::hook
