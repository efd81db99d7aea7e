// The signal that requests a report. Header::report_signal tells others that it can be sent: not once the program has
// installed a handler of its own, which may take it for anything. Async-signal-safe.
#pragma once

namespace unfreed::track {

/// The runtime has installed its handler.
void set_report_signal(int signal);
/// In a fork child, whose ledger is new.
void enter_report_signal();
/// The program has set an action for a signal.
void signal_taken(int signal);

}  // namespace unfreed::track
