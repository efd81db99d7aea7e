// Descriptors that arrive in messages.
#pragma once

#include "hook/real.h"
#include "unwind/frame.h"

namespace unfreed::hook {

/// Records the descriptors that arrived in a message (SCM_RIGHTS).
void take_rights(const msghdr& message, Hook hook, const unwind::Registers& from);

}  // namespace unfreed::hook
