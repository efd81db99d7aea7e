// The registers of a stopped thread of another process, as ptrace gives them.
#pragma once

#include <linux/audit.h>
#include <sys/user.h>

#include <cstdint>

#include "arch/registers.h"

namespace unfreed::arch {

inline constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_AARCH64;

/// Are calls recognised in code (trace/called_functions.h)?
inline constexpr bool kReadsCalls = false;

/// Does a call that has ended begin anew once its result says so? Here the kernel has decided that before.
inline constexpr bool kResumesCalls = false;

class TracedRegisters {
 public:
  /// For PTRACE_GETREGSET, NT_PRSTATUS.
  user_regs_struct raw = {};

  long call() const { return static_cast<long>(raw.regs[8]); }
  long result() const { return static_cast<long>(raw.regs[0]); }
  void set_result(long result) { raw.regs[0] = static_cast<unsigned long long>(result); }
  /// Of a system call. The first is lost when it returns.
  uint64_t argument(unsigned index) const { return raw.regs[index]; }
  uintptr_t pc() const { return raw.pc; }
  uintptr_t sp() const { return raw.sp; }
  uintptr_t bp() const { return raw.regs[29]; }
  MoreRegisters more() const { return {raw.regs[30], nullptr}; }
  /// Go's own: the goroutine that runs.
  uintptr_t go_routine() const { return raw.regs[28]; }
  uintptr_t go_vfork_return() const { return raw.regs[30]; }
};

}  // namespace unfreed::arch
