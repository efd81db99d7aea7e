// The signal that requests a report. Header::report_signal tells others that it can be sent: not once the program has
// installed a handler of its own, which may take it for anything. `unfreed snapshot --grade` is then served by a
// real-time signal. Async-signal-safe.
#pragma once

#include <signal.h>

namespace unfreed::track {

using SignalHandler = void (*)(int, siginfo_t*, void*);

/// Installs the runtime's handler for `signal`, if the program has left it at its default action, otherwise for a
/// real-time signal that it has.
void take_report_signal(int signal, SignalHandler handler);
/// The signal is at its default action again, if that handler is there. In a fork child that is not taken over, too.
void give_report_signal_back();
/// Is it that handler? The program, which finds the signal at its default action without the runtime, shall find that.
bool is_report_handler(const void* handler);
/// Is it a real-time signal, taken in place of the one that users send? From anyone but `unfreed snapshot`, it is to do
/// what it would do without the runtime.
bool is_substitute(int signal);
/// In a fork child, whose ledger is new.
void enter_report_signal();
/// The program has set an action for a signal.
void signal_taken(int signal);

}  // namespace unfreed::track
