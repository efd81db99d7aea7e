// Grading what the process holds (grade/grade.h): when, of which threads, and how it is entered in the ledger.
#pragma once

#include <atomic>
#include <optional>

#include "arch/signal_context.h"
#include "base/lock.h"
#include "grade/forked_memory.h"
#include "grade/stopped_threads.h"
#include "ledger/writer.h"
#include "unwind/frame.h"

namespace unfreed::runtime {

/// At the process's end, before its last report: in the process itself if this is its only thread, else in a copy,
/// which is waited for. `from`: where the end was called for. Returns 0, or, where a copy's answer would be lost with
/// it (the ledger is private memory), the stack pointer with which the copy that makes the report is to grade.
/// Async-signal-safe.
uintptr_t grade_at_end(const unwind::Registers& from, bool is_only_thread);

/// Enters why nothing is found out. Async-signal-safe.
void refuse_grading(const char* why);

/// While the process runs: in a copy, which is waited for, or left to itself (`leaves`): collect_grading() later.
/// Async-signal-safe; one thread at a time. `since_epoch`: as grade::grade() has it.
void grade_live(uint32_t since_epoch, bool leaves);

/// Collects a copy that was left to itself, and takes over what it has found out; or enters that it has found nothing
/// out. False: it has not ended after `milliseconds`; `kills`: then it is killed. For the thread that has the
/// ReportTurn.
bool collect_grading(int milliseconds, bool kills);

/// In a copy of the process that is to make a report anyway:
///     do { begin();  start_copy(…);  again = end(…);  wait_for_copy(…); } while (again)
/// and in the copy, first of all, collect(), then grade_copy(…).
class LiveGrading {
 public:
  /// How long each thread is waited for, while the process runs and at its end: those that have stopped stand still
  /// meanwhile.
  static constexpr int kPatienceMs = 100, kPatienceAtEndMs = 1000;

  /// `sp`: from where on the calling thread's stack counts; 0: from begin() on. Each thread is waited for as long as
  /// `patience_ms`.
  LiveGrading(uintptr_t sp, int patience_ms, uint32_t since_epoch = 0)
      : sp_(sp), patience_ms_(patience_ms), since_epoch_(since_epoch) {}
  ~LiveGrading();
  LiveGrading(const LiveGrading&) = delete;
  LiveGrading& operator=(const LiveGrading&) = delete;

  /// Stops the other threads, and lets a copy see the heap's blocks. Signals of the calling thread wait until end().
  [[gnu::noinline]] void begin();
  /// In the copy, before it closes descriptors: reads what has to be of the same moment as its memory.
  void collect();
  /// Lets all go on, when the copy (if there is one) has collected, or has had its time. True: a thread that cannot be
  /// stopped has run meanwhile, so this copy is of no use, and ends at once; the next one may be.
  bool end(bool has_copy, ledger::Writer& out);
  /// There is no copy.
  void refuse(ledger::Writer& out) const;
  /// In the copy. False: it is to end.
  bool grade_copy(ledger::Writer& out);

  enum class Outcome : uint32_t {
    open,
    collected,  ///< by the copy
    late,       ///< the copy had not collected when the threads went on
    // The answer: did all threads stand still when the copy was made?
    still,
    moved,
    again,
  };

 private:
  const char* stop_threads();
  void wait_until_collected();
  Outcome wait_for_outcome() const;

  grade::StoppedThreads threads_;
  grade::ForkedMemory kept_memory_;
  std::optional<base::SignalBlock> signals_;
  std::atomic<Outcome>* outcome_ = nullptr;  ///< shared with the copy
  // In the copy.
  grade::KernelPointers kept_by_kernel_;
  bool is_late_ = false;
  const char* problem_ = nullptr;
  uintptr_t sp_;
  int patience_ms_;
  uint64_t taken_ns_ = 0;
  uint64_t began_ns_ = 0;  ///< first of all
  int tries_ = 0;
  uint32_t since_epoch_;
  /// Of the calling thread.
  struct Kept {
    uintptr_t registers[arch::kKeptRegisters];
    uintptr_t alternate_stack;  ///< for signals
  } kept_{};
};

#ifndef __GLIBC__
/// In a program of musl whose main() has returned: what lies below on that stack is no longer the program's. Else 0.
extern uintptr_t g_sp_after_main;
#endif

}  // namespace unfreed::runtime
