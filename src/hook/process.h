// What the process hooks tell the runtime above them.
#pragma once

namespace unfreed::hook {

struct ProcessEvents {
  /// The process ends now, without passing through exit(): by _exit (the status), or by a signal (−signal number).
  /// Returns the status to end with.
  int (*ending)(int status) = nullptr;
  /// quick_exit was called with this status: its handlers run next.
  void (*quick_ending)(int status) = nullptr;
  /// Another program is about to take this process over; `failed`: it did not.
  void (*replacing)(bool failed) = nullptr;
};

void set_process_events(const ProcessEvents& events);

}  // namespace unfreed::hook
