// Who called whom in code without unwind information (musl's libc), by the code itself: a word on the stack is taken
// for a return address if it follows a call of the function that the frame below lies in, or of one that jumps there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "elf/file.h"

namespace unfreed::trace {

/// A copy of a module's code, and where the process has it. The instructions are those of x86-64.
struct Code {
  std::span<const std::byte> bytes;
  uintptr_t start = 0;

  bool read_byte(uintptr_t address, uint8_t& out) const;
  /// Where a displacement of four bytes at `address`, an instruction's last, leads.
  bool read_relative(uintptr_t address, uintptr_t& out) const;
  /// What the direct call before a return address calls; 0: there is none.
  uintptr_t call_target(uintptr_t return_address) const;
  /// If `address` is an entry of the procedure linkage table, the address of the word that it jumps through; else 0.
  uintptr_t entry_slot(uintptr_t address) const;
};

/// The functions of one module, by its table of symbols, at their addresses in the process.
class CalledFunctions {
 public:
  CalledFunctions() = default;
  CalledFunctions(const elf::File& file, uintptr_t bias);

  bool empty() const { return functions_.empty(); }
  /// Is `pc` in `main`?
  bool is_in_main(uintptr_t pc) const;
  /// May a call of `target` be what led to `pc`?
  bool leads_to(uintptr_t target, uintptr_t pc, const Code& code) const;

 private:
  struct Function {
    uintptr_t start, end;
  };
  const Function* find(uintptr_t pc) const;

  std::vector<Function> functions_;  ///< by address
  uintptr_t main_ = 0;
};

}  // namespace unfreed::trace
