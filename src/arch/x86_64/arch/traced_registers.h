// The registers of a stopped thread of another process, as ptrace gives them.
#pragma once

#include <linux/audit.h>
#include <sys/user.h>

#include <cstdint>

#include "arch/registers.h"

namespace unfreed::arch {

inline constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_X86_64;

/// Are calls recognised in code (trace/called_functions.h)?
inline constexpr bool kReadsCalls = true;

/// Does a call that has ended begin anew once its result says so?
inline constexpr bool kResumesCalls = true;

class TracedRegisters {
 public:
  /// For PTRACE_GETREGSET, NT_PRSTATUS.
  user_regs_struct raw = {};

  long call() const { return static_cast<long>(raw.orig_rax); }
  long result() const { return static_cast<long>(raw.rax); }
  void set_result(long result) { raw.rax = static_cast<unsigned long long>(result); }
  /// Of a system call: kept also when it returns.
  uint64_t argument(unsigned index) const {
    const uint64_t values[] = {raw.rdi, raw.rsi, raw.rdx, raw.r10, raw.r8, raw.r9};
    return values[index];
  }
  uintptr_t pc() const { return raw.rip; }
  uintptr_t sp() const { return raw.rsp; }
  uintptr_t bp() const { return raw.rbp; }
  MoreRegisters more() const { return {}; }
  /// Go's own: the goroutine that runs (ABIInternal).
  uintptr_t go_routine() const { return raw.r14; }
  /// Where Go's code for vfork keeps its return address, while it has none on the stack.
  uintptr_t go_vfork_return() const { return raw.r12; }
};

}  // namespace unfreed::arch
