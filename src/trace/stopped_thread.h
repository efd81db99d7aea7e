// What is read of a thread that the tracer has stopped: registers and messages.
#pragma once

#include "arch/traced_registers.h"

namespace unfreed::trace {

/// False: the thread has been killed meanwhile, which waitpid() will say.
bool read_registers(int tid, arch::TracedRegisters& out);

/// Of a PTRACE_EVENT stop. −1: the thread has been killed meanwhile.
long event_message(int tid);

}  // namespace unfreed::trace
