// Which function a call was meant for, by the call instruction itself. A stack does not tell: a function that ends by
// jumping to another (a tail call) leaves no frame, and the other one may have no name that can be found.
#pragma once

#include <cstdint>

namespace unfreed::unwind {

/// Where the call before `return_address` led, through a procedure linkage table (PLT) if it went through one. Of a
/// call through a pointer that lies in the object's own memory, where that leads now. 0 for a call through a register
/// or through other memory, and on architectures other than x86-64. The calling code must be loaded; only memory of its
/// object is read. Async-signal-safe. Where it is called another way, the bytes that stand there may look like such a
/// call by chance.
uintptr_t call_target(uintptr_t return_address);

}  // namespace unfreed::unwind
