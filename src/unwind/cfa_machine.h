// The virtual machine of call frame information: runs a function's program up to an instruction and returns the row
// for it. Internal to this folder. Allocation-free, async-signal-safe; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unwind/cursor.h"
#include "unwind/row.h"

namespace unfreed::unwind {

struct Instructions {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

/// The part of a CIE that its functions share.
struct Cie {
  uint64_t code_align = 0;
  int64_t data_align = 0;
  uint64_t return_register = 0;
  uint8_t pointer_encoding = 0;
  bool has_augmentation_data = false;
  bool signal = false;
  Instructions initial;
};

/// A run over one function's program, which can continue from where it stopped.
class CfaMachine {
 public:
  CfaMachine() = default;  ///< runs nothing
  CfaMachine(const Cie& cie, uintptr_t start, Instructions body) : cie_(cie) { restart(start, body); }

  /// Starts over with another function's program of the same CIE.
  void restart(uintptr_t start, Instructions body);
  const Cie& cie() const { return cie_; }

  /// Runs up to `pc`, which must not lie before the row at which the run has stopped. False if the program cannot be
  /// decoded; the run is then over.
  bool run_to(uintptr_t pc);
  /// Can a run to `pc` in this program continue from here?
  bool is_before(const Instructions& body, uintptr_t pc) const {
    return is_started_ && body.begin == body_.begin && body.end == body_.end && pc >= row_start_;
  }

  /// The row at which the run has stopped. Row::module is left 0.
  Row row() const;

 private:
  static constexpr size_t kMaxRemembered = 8;

  enum class Saved : uint8_t { same, at_cfa, at_bp, undefined, unknown };
  struct Rule {
    Saved how = Saved::same;
    int64_t offset = 0;
  };
  /// The rules for the CFA, rbp and the return address. Other registers are not tracked.
  struct Rules {
    uint64_t cfa_register = 0;
    int64_t cfa_offset = 0;
    CfaRule cfa_expression = CfaRule::none;  ///< set: the CFA is given by an expression
    bool cfa_unknown = false;
    Rule bp;
    Rule return_address;
  };

  bool begin(uintptr_t pc);
  bool execute(Cursor& program, uintptr_t pc, bool initial);
  bool step(uint8_t op, Cursor& cursor);
  Rule* rule_of(uint64_t reg);
  void save(uint64_t reg, Saved how, int64_t offset);
  void restore(uint64_t reg);
  void set_cfa_offset(int64_t offset);
  void read_cfa_expression(Cursor cursor, uint64_t size);
  void saved_at_expression(uint64_t reg, Cursor& cursor);

  Cie cie_;
  uintptr_t row_start_ = 0;  ///< the rules hold from here …
  uintptr_t location_ = 0;   ///< … up to here
  uintptr_t next_ = 0;       ///< the program's next instruction
  Instructions body_;
  bool is_started_ = false;
  bool has_initial_ = false;  ///< the CIE's program need not be run again
  Rules rules_;
  Rules initial_;
  Rules memory_[kMaxRemembered];
  size_t remembered_ = 0;
};

}  // namespace unfreed::unwind
