// Descriptors that go along into another program because nobody marked them close-on-exec. They are noted in the ledger
// of the process that opened them: a child between fork and exec writes to its parent's.
//
//     parent ── open ── fork ─────────────────────────────▶ reports what crossed, with the stack of the open
//                         └─ child ── exec ─▶ notes here
//
// All are async-signal-safe and keep errno.
#pragma once

#include <cstdint>

#include "ledger/writer.h"

namespace unfreed::track {

/// Descriptors that a spawn call's file actions close or replace in the child: they do not cross.
struct ChildFds {
  static constexpr int kMost = 64;
  int numbers[kMost];
  int count = 0;
  int closed_from = INT32_MAX;
  void add(int fd) {
    if (count < kMost) numbers[count++] = fd;
  }
  bool is_replaced(int fd) const {
    for (int i = 0; i < count; ++i)
      if (numbers[i] == fd) return true;
    return fd >= closed_from;
  }
};

/// Another program is about to start with what this process holds: in its place (exec), or in a child.
void note_crossings(uint16_t door, const char* program, const ChildFds& child = {});

/// Numbers that may cross: from UNFREED_INHERITABLE.
void allow_crossing(int first, int last);

/// A fork child is about to give up its parent's ledger: keeps the part where crossings are noted. Afterwards
/// crossings of what the parent had opened go there.
void keep_parents_crossings(const ledger::Writer& parent);

}  // namespace unfreed::track
