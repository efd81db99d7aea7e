// The signal that requests a report. Header::report_signal tells others that it can be sent: not once the program has
// installed a handler of its own, which may take it for anything. Async-signal-safe.
#pragma once

#include <signal.h>

namespace unfreed::track {

using SignalHandler = void (*)(int, siginfo_t*, void*);

/// The runtime has installed its handler.
void set_report_signal(int signal, SignalHandler handler);
/// Is it that handler? The program, which finds the signal at its default action without the runtime, shall find that.
bool is_report_handler(const void* handler);
/// In a fork child, whose ledger is new.
void enter_report_signal();
/// The program has set an action for a signal.
void signal_taken(int signal);

}  // namespace unfreed::track
