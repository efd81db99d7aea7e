// This process as one that is tracked, without hooks: tests call the verbs of src/track themselves, and read what they
// have written to a ledger in memory.
#pragma once

#include <cstdlib>

#include "base/syscall.h"
#include "support/ledger_builder.h"
#include "track/children.h"
#include "track/epochs.h"
#include "track/modules.h"
#include "track/sites.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/walk.h"

extern "C" void* __libc_stack_end;  // glibc's: where the main thread's stack begins

namespace unfreed::test {

class TrackedProcess {
 public:
  /// There is one, for all tests of the executable.
  static TrackedProcess& the() {
    static TrackedProcess one;
    return one;
  }

  ledger::Header& header() { return builder_.header(); }
  ledger::View view() const { return builder_.view(); }
  ledger::KindTotals& totals(ledger::Kind kind) { return header().totals[static_cast<size_t>(kind)]; }
  uint64_t held(ledger::Kind kind) { return totals(kind).live.load(); }
  template <class Record>
  Record& record(ledger::SectionId section, uint64_t index) {
    return *builder_.writer().at<Record>(section, index);
  }
  uint64_t count(ledger::SectionId section) { return builder_.writer().section(section).count.load(); }

 private:
  TrackedProcess() {
    using track::g_tracker;
    g_tracker.writer = builder_.writer();
    g_tracker.kinds = ~0u;
    g_tracker.depth = 16;
    g_tracker.heap_use = track::HeapUse::none;
    g_tracker.main_stack_high = (reinterpret_cast<uintptr_t>(__libc_stack_end) + 4096) & ~uintptr_t{4095};
    g_tracker.main_stack_bytes = g_tracker.default_stack_bytes = size_t{8} << 20;
    if (!track::prepare_fork_page() || !track::prepare_modules() || !track::prepare_sites() ||
        !unwind::prepare(track::module_number) || !track::prepare_threads() || !track::prepare_children())
      std::abort();
    track::start_epochs();
    g_tracker.phase = track::Phase::tracking;
  }

  LedgerBuilder builder_;
};

/// While it lives, nothing is tracked, as before the library's constructor.
class Untracked {
 public:
  Untracked() { track::g_tracker.phase = track::Phase::forwarding; }
  ~Untracked() { track::g_tracker.phase = track::Phase::tracking; }
  Untracked(const Untracked&) = delete;
  Untracked& operator=(const Untracked&) = delete;
};

/// While it lives, what is acquired is not counted (unfreed_pause).
class Paused {
 public:
  Paused() { ++track::t_local.pause_depth; }
  ~Paused() { --track::t_local.pause_depth; }
  Paused(const Paused&) = delete;
  Paused& operator=(const Paused&) = delete;
};

}  // namespace unfreed::test
