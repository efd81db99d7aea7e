// A system call of the program's that a signal of ours has cut short: it is made again when the handler returns.
#pragma once

#include <ucontext.h>

#include "base/waiting_call.h"

namespace unfreed::grade {

/// In the handler: `context` is what the signal has interrupted, `call` what the thread waited in when the signal was
/// sent. Does nothing if that is not what was interrupted, or was not cut short, or may have had an effect.
void make_again_if_cut_short(ucontext_t& context, const base::WaitingCall& call);

}  // namespace unfreed::grade
