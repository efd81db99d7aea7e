// The verdict on each live heap block: can the program still get at it? Made in the process itself at its end, or in a
// copy of it; either way nothing else runs. Also on streams (a descriptor whose FILE or DIR nothing leads to can never
// be closed) and on threads (one whose pthread_t lies nowhere can never be joined).
//
// Roots are: writable memory of loaded objects, thread-local variables, stacks from their stack pointers on, registers,
// and every mapping that is neither the allocator's nor the runtime's own. Free memory, stacks of threads that have
// ended, and what lies below stack pointers are none.
//
// Reads /proc/self; allocates its own memory for the time; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/kernel_pointers.h"
#include "ledger/writer.h"
#include "unwind/frame.h"

namespace unfreed::grade {

/// A thread as it was stopped.
struct ThreadAtRest {
  int tid;
  uintptr_t sp;  ///< below it, but for the red zone, nothing counts; 0: not known, all of its stack counts
  /// The memory that its registers were saved to.
  uintptr_t registers_low;
  uintptr_t registers_high;
  /// Where a walk of its stack begins; a pc of 0: not known.
  unwind::Registers walk_from{};
  bool moves_block = false;  ///< it is in realloc: a block that is in use may be in no index
};

/// At the program's end, which waits for it, only so much is computed as takes next to no time: of large heaps not what
/// each root and block retains.
enum class Patience : uint8_t { at_end, on_request };

/// What is graded.
struct Moment {
  std::span<const ThreadAtRest> threads;
  uint64_t taken_ns;  ///< when the memory was like this (CLOCK_MONOTONIC)
  /// nullptr: nothing else runs, so they can still be collected.
  const KernelPointers* kept_by_kernel = nullptr;
  /// They may be of a later moment: a block that only they might lead to is possibly lost at worst.
  bool is_kernel_late = false;
  Patience patience = Patience::at_end;
};

/// Grades what the process holds, and enters it in `out`, its ledger: SectionId::grades, and marks on descriptors and
/// threads. Header::lost_since counts lost blocks born in `since_epoch` or later. nullptr, or why there is no verdict
/// (static).
const char* grade(const Moment& moment, uint32_t since_epoch, ledger::Writer& out);

}  // namespace unfreed::grade
