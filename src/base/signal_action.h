// Sets what a signal does, without libc: a program may have a sigaction of its own in its place. Async-signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>

namespace unfreed::base {

/// As the kernel has it.
struct SignalAction {
  void (*handler)(int, siginfo_t*, void*) = nullptr;  ///< nullptr: the default; kIgnoreSignal
  uint64_t flags = 0;                                 ///< SA_…
  void (*restorer)() = nullptr;
  uint64_t mask = 0;  ///< blocked while the handler runs
};
inline void (*const kIgnoreSignal)(int, siginfo_t*,
                                   void*) = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(uintptr_t{1});

/// False: the kernel refuses. `before` may be null.
bool set_signal_action(int signal, SignalAction action, SignalAction* before);
bool get_signal_action(int signal, SignalAction& out);

}  // namespace unfreed::base
