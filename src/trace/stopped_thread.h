// What is read of a thread that the tracer has stopped: registers, messages, memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "arch/traced_registers.h"
#include "base/syscall.h"

namespace unfreed::trace {

/// False: the thread has been killed meanwhile, which waitpid() will say.
bool read_registers(int tid, arch::TracedRegisters& out);

/// Of a PTRACE_EVENT stop. −1: the thread has been killed meanwhile.
long event_message(int tid);

template <class Value>
bool read_value(int tid, uintptr_t address, Value& out) {
  return address && base::copy_memory(tid, address, &out, sizeof out) == sizeof out;
}

/// As much of a text as can be read.
std::string read_text(int tid, uintptr_t address, size_t most);

}  // namespace unfreed::trace
