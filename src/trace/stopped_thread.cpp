#include "trace/stopped_thread.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

namespace unfreed::trace {

bool read_registers(int tid, arch::TracedRegisters& out) {
  iovec place{&out.raw, sizeof out.raw};
  return ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &place) == 0;
}

long event_message(int tid) {
  unsigned long message = 0;
  return ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) == 0 ? static_cast<long>(message) : -1;
}

}  // namespace unfreed::trace
