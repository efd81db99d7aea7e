// Recognising a stack that this thread has captured before, without walking it.
//
// A walk is a chain of reads: registers → slot → next frame → slot … If a new capture starts from the same (pc, sp) and
// every stack word that the recorded walk read still holds its value, then by induction the walk would come out the
// same: a scan of independent loads instead of look-ups and pointer chasing. Slots are compared in the order of the
// walk and the scan stops at the first difference, so it reads only what the walk would have read.
//
// The same innermost (pc, sp) recurs with different callers, so entries are set-associative.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::track {

struct MemoEntry {
  uintptr_t pc;
  uintptr_t sp;
  uintptr_t bp;
  uint32_t tag;   ///< acquiring function and kind
  uint32_t site;  ///< 0: empty
  uint32_t slot_count;
  uint32_t uses_bp;
  static constexpr size_t kSlots = 166;
  uint32_t offsets[kSlots];  ///< slot address − sp
  uintptr_t values[kSlots];
};
static_assert(sizeof(MemoEntry) <= 2048);

class StackMemo {
 public:
  /// The site recorded for this very stack, or 0.
  uint32_t find(const unwind::Registers& from, uint32_t tag) const {
    const Set& set = sets_[set_of(from)];
    for (const MemoEntry& entry : set.ways)
      if (entry.pc == from.pc && entry.sp == from.sp && entry.tag == tag && verify(entry, from)) return entry.site;
    return 0;
  }

  void remember(const unwind::Registers& from, uint32_t tag, uint32_t site, const unwind::SlotLog& log) {
    if (!log.verifiable || log.overflowed || log.size > MemoEntry::kSlots || from.exact_pc) return;
    Set& set = sets_[set_of(from)];
    MemoEntry& entry = set.ways[set.next++ % kWays];
    entry.site = 0;
    for (size_t i = 0; i < log.size; ++i) {
      uintptr_t distance = log.slots[i].address - from.sp;
      if (log.slots[i].address < from.sp || distance > 0xffffffff) return;
      entry.offsets[i] = static_cast<uint32_t>(distance);
      entry.values[i] = log.slots[i].value;
    }
    entry.slot_count = static_cast<uint32_t>(log.size);
    entry.uses_bp = log.uses_initial_bp;
    entry.pc = from.pc;
    entry.sp = from.sp;
    entry.bp = from.bp;
    entry.tag = tag;
    entry.site = site;
  }

  void clear() {
    for (Set& set : sets_)
      if (set.next)  // untouched memory stays untouched
        for (MemoEntry& entry : set.ways) entry.site = 0, entry.pc = 0;
  }

  uint32_t generation = 0;  ///< of the code that the entries' pcs refer to (unwind::code_generation)

 private:
  static constexpr size_t kWays = 4;
  static constexpr size_t kSets = 128;
  struct Set {
    uint32_t next;
    MemoEntry ways[kWays];
  };

  static size_t set_of(const unwind::Registers& from) {
    return (((from.pc >> 2) ^ (from.sp >> 4)) * 0x9e3779b97f4a7c15u >> 40) % kSets;
  }
  static bool verify(const MemoEntry& entry, const unwind::Registers& from) {
    if (entry.uses_bp && entry.bp != from.bp) return false;
    for (uint32_t i = 0; i < entry.slot_count; ++i)
      if (*reinterpret_cast<const uintptr_t*>(from.sp + entry.offsets[i]) != entry.values[i]) return false;
    return entry.site != 0;
  }

  Set sets_[kSets];
};

}  // namespace unfreed::track
