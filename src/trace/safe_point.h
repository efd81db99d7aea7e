// Where a thread of a running process may be made to call a function that takes the loader's and the allocator's locks:
// in a system call that waits, made by libc on behalf of the program, so that the thread itself holds none of them.
//
//     innermost   libc's function for the call
//                 the program and its libraries: no frame of the loader, of the allocator, or of libc's (a callback of
//                 dl_iterate_phdr, of exit, a signal handler)
//     outermost   libc's start of the thread, or of the program
//
// Other threads run on meanwhile and release what they hold.
#pragma once

#include <cstdint>
#include <string>

#include "arch/traced_registers.h"
#include "trace/code_space.h"
#include "trace/remote_object.h"
#include "trace/thread_memory.h"

namespace unfreed::trace {

class SafePoint {
 public:
  /// `pid`: a live thread of the process.
  explicit SafePoint(int pid);

  /// May the process be looked into?
  bool can_look() const { return !parts_.empty(); }
  /// "", or why nothing can be loaded into the process: one clause.
  const std::string& obstacle() const { return obstacle_; }
  const RemoteObject& libc() const { return libc_; }
  /// libc's code behind signal handlers: sets a register to SYS_rt_sigreturn, and makes that call.
  uintptr_t sigreturn() const { return sigreturn_; }
  static constexpr size_t kSigreturnBytes = 9;
  /// The runtime, where it is loaded already; false else.
  RemoteObject find_runtime(int tid) const;
  /// dlopen; 0: there is none. `flags`: what its mode has to have besides.
  uintptr_t find_dlopen(int tid, int& flags) const;

  /// Does the thread wait in a call of that number that may be left and begun anew, at a place that may be safe?
  bool may_wait_safely(int tid) const;
  /// `registers`: of a thread that is stopped in a system call, or before one.
  bool is_safe(int tid, const arch::TracedRegisters& registers);
  /// May a thread that is stopped anywhere be in the middle of what the runtime does? Not while it waits in a real
  /// call. True where its stack cannot be followed.
  bool may_be_in_runtime(int tid, const arch::TracedRegisters& registers);
  bool is_in_loader(uintptr_t address) const;

 private:
  enum class Part : uint8_t { other, program, libc, loader, allocator, runtime };
  Part part_of(const CodeFrame& frame) const;
  bool waits_for_nothing_held(std::span<const CodeFrame> frames) const;
  uintptr_t address_of(const CodeFrame& frame) const;
  bool may_lead_to_runtime(int tid, const arch::TracedRegisters& registers) const;
  void find_sigreturn(int tid, const CodeModule& libc);

  CodeSpace code_;
  std::vector<Part> parts_;  ///< of the modules
  RemoteObject libc_;
  uintptr_t sigreturn_ = 0;
  std::string obstacle_;
};

}  // namespace unfreed::trace
