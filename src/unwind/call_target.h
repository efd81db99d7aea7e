// Finds the function that a call was meant for, from the call instruction. A stack does not show it: a function that
// ends by jumping to another (a tail call) leaves no frame, and the other one may have no name that can be found.
#pragma once

#include <cstdint>

namespace unfreed::unwind {

/// The target of the call before `return_address`, through a procedure linkage table (PLT) if the call used one. On
/// x86-64, for a call through a pointer in the object's own memory, the pointer's current value. 0 for a call through a
/// register or through other memory. The calling code must be loaded; only memory of its object is read.
/// Async-signal-safe. If the call had another form, the bytes before the address may look like such a call by chance.
uintptr_t call_target(uintptr_t return_address);

}  // namespace unfreed::unwind
