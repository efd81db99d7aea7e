// Grading what the process holds (grade/grade.h): when, of which threads, and how it is entered in the ledger.
#pragma once

#include "arch/signal_context.h"
#include "grade/forked_memory.h"
#include "grade/stopped_threads.h"
#include "ledger/writer.h"
#include "unwind/frame.h"

namespace unfreed::runtime {

/// At the process's end, before its last report: in the process itself if this is its only thread, else in a copy,
/// which is waited for. `from`: where the end was called for. Returns 0, or, where a copy's answer would be lost with
/// it (the ledger is private memory), the stack pointer with which the copy that makes the report is to grade.
/// Async-signal-safe.
uintptr_t grade_at_end(const unwind::Registers& from);

/// While the process runs: in a copy, which is waited for. Async-signal-safe; one thread at a time.
/// `since_epoch`: as grade::grade() has it.
void grade_live(uint32_t since_epoch);

/// In a copy of the process that is to make a report anyway:
///     begin();  start_copy(…);  end(…);        and in the copy, first of all, grade_copy(…)
class LiveGrading {
 public:
  /// `sp`: from where on the calling thread's stack counts; 0: from begin() on.
  explicit LiveGrading(uintptr_t sp = 0, uint32_t since_epoch = 0) : sp_(sp), since_epoch_(since_epoch) {}
  LiveGrading(const LiveGrading&) = delete;
  LiveGrading& operator=(const LiveGrading&) = delete;

  /// Stops the other threads, and lets a copy see the heap's blocks.
  [[gnu::noinline]] void begin();
  /// Lets all go on.
  void end(ledger::Writer& out);
  /// In the copy.
  void grade_copy(ledger::Writer& out);

 private:
  grade::StoppedThreads threads_;
  grade::ForkedMemory kept_memory_;
  const char* problem_ = nullptr;
  uintptr_t sp_;
  uint32_t since_epoch_;
  /// Of the calling thread.
  struct Kept {
    uintptr_t registers[arch::kKeptRegisters];
    uintptr_t alternate_stack;  ///< for signals
  } kept_{};
};

}  // namespace unfreed::runtime
