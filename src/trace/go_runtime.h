// What is known of Go's runtime in a traced program: where its structures have what, by the version that the program
// was built with, and where the list of goroutines lies. Go promises none of that, so it is looked up for each version
// (a test compares the table with the debug information of the versions that are installed), and what is read is
// checked. A program of another version has no goroutines here, and a reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/traced_registers.h"
#include "elf/file.h"

namespace unfreed::trace {

/// Offsets in the structure `g` of a goroutine. Its stack's bounds are at 0 and 8.
struct GoOffsets {
  unsigned first_version, last_version;  ///< 19: Go 1.19
  uint16_t saved_sp, saved_pc, saved_bp;
  uint16_t call_pc, call_bp;  ///< of a goroutine in a system call; call_bp 0: there is none
  uint16_t status, id, wait_since, wait_reason;
  uint16_t creator;  ///< 0: there is none
  uint16_t created_at, starts_at;
};
/// nullptr: that version ("go1.22.3") is not known.
const GoOffsets* find_go_offsets(std::string_view version);

/// A goroutine as its structure has it.
struct GoRoutine {
  uint64_t id;
  uint64_t creator;
  int64_t waiting_since_ns;
  uint32_t status;  ///< ledger::GoroutineState
  uint8_t wait_reason;
  uintptr_t created_at, starts_at;
  uintptr_t stack_low, stack_high;
  uintptr_t pc, sp, bp;  ///< where its stack begins; pc 0: it runs
};

class GoRuntime {
 public:
  GoRuntime() = default;
  /// Of a Go program whose addresses in the process are those in its file plus `bias`.
  GoRuntime(const elf::File& file, uintptr_t bias);

  /// Why goroutines are not known; "" they are.
  const std::string& reason() const { return reason_; }
  /// The goroutine that a thread runs, which is stopped in Go's code; 0: none, or not known.
  uint64_t running_on(int tid, const arch::TracedRegisters& registers) const;
  /// All goroutines of a process that may be running, as far as they can be read. False: their list was not found.
  bool list(int pid, std::vector<GoRoutine>& out);
  /// "chan receive"; "" not known.
  std::string wait_reason(int pid, uint8_t number);

 private:
  bool read_list(int pid, uintptr_t place, std::vector<uintptr_t>& out) const;
  bool is_list(int pid, const std::vector<uintptr_t>& list) const;
  bool search_list(int pid, std::vector<uintptr_t>& out);
  bool read_routine(int pid, uintptr_t place, GoRoutine& out) const;

  const GoOffsets* offsets_ = nullptr;
  std::string reason_ = "it is no Go program";
  uintptr_t list_ = 0;  ///< runtime.allgs; 0: not known yet
  uintptr_t wait_reasons_ = 0;
  size_t wait_reason_count_ = 0;
  struct Variables {
    uintptr_t start, end;
  };
  std::vector<Variables> variables_;  ///< where the program's lie
};

}  // namespace unfreed::trace
