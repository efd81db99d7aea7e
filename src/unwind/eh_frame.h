// Decoder of .eh_frame: finds the row for an instruction through .eh_frame_hdr's search table.
// Format: LSB Core "Exception Frames", DWARF 4 §6.4. Reads only inside the image it is given; malformed data yields "no
// row", never a bad read. Thread-safe but for RecentRuns, async-signal-safe, allocation-free.
#pragma once

#include <cstdint>

#include "unwind/cfa_machine.h"
#include "unwind/row.h"

namespace unfreed::unwind {

/// A loaded object's readable memory: [low, high).
struct Image {
  uintptr_t low = 0;
  uintptr_t high = 0;
};

/// Runs over long programs, to continue from: walks enter functions that have one at ever other addresses, mostly
/// further on. And the CIE used last, which most of an object's functions share. All of it belongs to one state of
/// the loaded code: forget() when that changes. One thread at a time.
class RecentRuns {
 public:
  static constexpr size_t kLongProgramBytes = 64;

  CfaMachine& place_of(const Instructions& body) { return runs_[(body.begin >> 4 ^ body.begin >> 10) % kRuns]; }
  /// For the CIE at an address: nullptr if that is not the one that was used last.
  CfaMachine* of_cie(uintptr_t address) { return address == cie_address_ ? &last_ : nullptr; }
  CfaMachine& set_cie(uintptr_t address, const Cie& cie) {
    cie_address_ = address;
    return last_ = CfaMachine(cie, 0, {});
  }
  void forget() {
    if (!cie_address_) return;  // untouched memory stays untouched
    for (CfaMachine& run : runs_) run = CfaMachine();
    cie_address_ = 0;
  }

 private:
  static constexpr size_t kRuns = 64;
  CfaMachine runs_[kRuns];
  uintptr_t cie_address_ = 0;
  CfaMachine last_;
};

/// The row for `pc` (an instruction's own address: for a return address pass it minus one). `eh_frame_hdr` is
/// the address of the PT_GNU_EH_FRAME segment. CfaRule::none if there is none or it uses what we do not support.
/// Row::module is left 0.
Row find_row(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc, RecentRuns* recent = nullptr);

/// The start of the function (or the part of one) that contains `pc`; 0 if unknown.
uintptr_t find_function(const Image& image, uintptr_t eh_frame_hdr, uintptr_t pc);

/// Calls `visit(start of the function, address of its FDE)` for each FDE of the section .eh_frame at begin … end, which
/// lies in the image: to make a search table for a file that has none (static programs).
void each_function(const Image& image, uintptr_t begin, uintptr_t end, void* context,
                   void (*visit)(void* context, uintptr_t start, uintptr_t fde));

}  // namespace unfreed::unwind
