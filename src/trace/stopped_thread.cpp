#include "trace/stopped_thread.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

namespace unfreed::trace {

bool read_registers(int tid, arch::TracedRegisters& out) {
  iovec place{&out.raw, sizeof out.raw};
  return ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &place) == 0;
}

long event_message(int tid) {
  unsigned long message = 0;
  return ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) == 0 ? static_cast<long>(message) : -1;
}

std::string read_text(int tid, uintptr_t address, size_t most) {
  constexpr size_t kPage = 4096;
  std::string text;
  while (address && text.size() < most) {
    char piece[kPage];
    size_t wanted = std::min(most - text.size(), kPage - address % kPage);
    long got = base::copy_memory(tid, address, piece, wanted);
    if (got <= 0) break;
    size_t size = strnlen(piece, static_cast<size_t>(got));
    text.append(piece, size);
    if (size < static_cast<size_t>(got)) break;
    address += size;
  }
  return text;
}

}  // namespace unfreed::trace
