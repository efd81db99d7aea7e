// A system call of the program's that a signal of ours has cut short: it is made again when the handler returns.
#pragma once

#include <ucontext.h>

#include "base/waiting_call.h"

namespace unfreed::grade {

/// In the handler: `context` is what the signal has interrupted, `known` what the thread waited in shortly before the
/// signal was sent, `signal` which it is. Does nothing if no call was cut short, if it is not known which, or if it may
/// have had an effect.
void make_again_if_cut_short(ucontext_t& context, const base::WaitingCall& known, int signal);

}  // namespace unfreed::grade
