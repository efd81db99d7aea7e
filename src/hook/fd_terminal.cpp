// Pseudo-terminals that come as a pair.
#include "hook/real.h"
#include "track/children.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using track::fd_acquired;
using unwind::caller_registers;
using unwind::Registers;

UNFREED_HOOK int openpty(int* master, int* slave, char* name, const termios* modes, const winsize* size) noexcept {
  int result = g_real.openpty(master, slave, name, modes, size);
  if (result < 0) return fd_acquired(result, hook_number(Hook::openpty), caller_registers());
  fd_acquired(*master, hook_number(Hook::openpty), caller_registers());
  fd_acquired(*slave, hook_number(Hook::openpty), caller_registers());
  return result;
}

// The child has the slave as its standard streams, which it is started with: inherited.
UNFREED_HOOK int forkpty(int* master, char* name, const termios* modes, const winsize* size) noexcept {
  Registers from = caller_registers();
  int pid =
      track::child_forking(hook_number(Hook::forkpty), from, [&] { return g_real.forkpty(master, name, modes, size); });
  if (pid < 0) fd_acquired(pid, hook_number(Hook::forkpty), from);
  if (pid > 0) fd_acquired(*master, hook_number(Hook::forkpty), from);
  return pid;
}
