// A child process of the runtime's own, a copy of the process that makes a report. The program must not see it.
//
// It is made with exit signal 0, so the kernel raises no SIGCHLD for it and returns it from no wait function without
// __WALL or __WCLONE. The hooks leave it out (own_child_collected) and keep its status for the runtime. The kernel's
// lists of children have it, though: a thread that opens one meanwhile waits until the child is gone.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace unfreed::track {

inline constexpr pid_t kLeft = -1;

/// One at a time.
struct OwnChild {
  /// Set by the kernel (CLONE_PARENT_SETTID) before the child runs and any wait function can return it; 0: none.
  std::atomic<pid_t> pid;
  /// Set when a wait function has collected it: kCollected and the wait status below it. 0: not yet.
  std::atomic<uint64_t> collected;
  /// The thread that makes it, from before it exists until it is gone; 0: none does. kLeft: the thread has gone on.
  std::atomic<pid_t> maker;
};
inline constexpr uint64_t kCollected = uint64_t{1} << 32;
inline constinit OwnChild g_own_child{};

/// A wait function is about to return this child to the program. True: it is the runtime's; repeat the call.
/// Thread-safe, async-signal-safe.
inline bool own_child_collected(pid_t pid, int status) {
  if (pid <= 0 || pid != g_own_child.pid.load(std::memory_order_acquire)) [[likely]]
    return false;
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    g_own_child.collected.store(kCollected | static_cast<uint32_t>(status), std::memory_order_release);
    // The number may soon be another process's, and nobody waits for this one.
    if (g_own_child.maker.load(std::memory_order_relaxed) == kLeft) g_own_child.pid.store(0, std::memory_order_release);
  }
  return true;
}

/// The same for waitid. With WNOWAIT the child would be returned again: it is collected here.
bool own_child_met(const siginfo_t& about, int options);

/// This thread is about to make the child. Waits, for a moment, until no thread has a list of children open that it may
/// not have read yet.
void own_child_begins();
/// Says in the ledger which child it is, for readers outside of the process: kCopyBeingMade before it is made, then its
/// pid.
void note_own_child(int32_t copy);
/// It is gone, or has not been made.
void own_child_ended();
/// In a fork child, which has a ledger of its own.
inline void reset_own_child_after_fork() {
  g_own_child.pid.store(0, std::memory_order_relaxed);
  g_own_child.maker.store(0, std::memory_order_relaxed);
  g_own_child.collected.store(0, std::memory_order_relaxed);
}

/// Can the program find the child by what it has opened?
inline bool may_show_own_child(const char* path, size_t length) {
  constexpr char kList[] = {'c', 'h', 'i', 'l', 'd', 'r', 'e', 'n'};  // /proc/PID/task/TID/children
  if (g_own_child.maker.load(std::memory_order_relaxed)) [[unlikely]]
    return true;
  return length >= sizeof kList && std::memcmp(path + length - sizeof kList, kList, sizeof kList) == 0;
}
/// If it does: waits until the child is gone, unless this thread makes it; one that was left alone and has ended is
/// collected. Async-signal-safe.
void hide_own_child(int fd, const char* path, size_t length);

}  // namespace unfreed::track
