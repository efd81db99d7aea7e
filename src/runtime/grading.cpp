#include "runtime/grading.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <span>

#include "arch/signal_context.h"
#include "base/bounded_call.h"
#include "base/syscall.h"
#include "grade/grade.h"
#include "runtime/child_process.h"
#include "runtime/own_settings.h"
#include "settings/settings.h"
#include "track/heap.h"
#include "track/heap_index.h"
#include "track/modules.h"
#include "track/own_child.h"
#include "track/thread_state.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::runtime {

using grade::ThreadAtRest;
using ledger::Grading;
using track::g_tracker;

namespace {

/// 1 GB in seven million blocks takes a second.
constexpr long kMostMicroseconds = 8'000'000;
constexpr int kMostMilliseconds = 10'000;
constexpr size_t kStackBytes = 256 * 1024;

/// Shared with copies; nullptr: there is no memory.
std::atomic<LiveGrading::Outcome>* map_shared_word() {
  long result = base::raw_syscall(SYS_mmap, 0, sizeof(std::atomic<LiveGrading::Outcome>), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return base::is_error(result) ? nullptr : reinterpret_cast<std::atomic<LiveGrading::Outcome>*>(result);
}

void wake(std::atomic<LiveGrading::Outcome>* word) {
  base::raw_syscall(SYS_futex, reinterpret_cast<long>(word), FUTEX_WAKE, INT32_MAX);
}
void wait_while(std::atomic<LiveGrading::Outcome>* word, LiveGrading::Outcome value, uint64_t most_ns) {
  timespec most{0, static_cast<long>(most_ns)};
  base::raw_syscall(SYS_futex, reinterpret_cast<long>(word), FUTEX_WAIT, static_cast<long>(value),
                    reinterpret_cast<long>(&most));
}

unwind::StackBounds bounds_around(uintptr_t sp) {
  const track::ThreadState* state = track::t_local.state;
  return state && state->is_own_stack(sp) ? state->bounds : unwind::probe_bounds(sp);
}

/// Where the program's frames begin: those of libc and of this library do not count, and after main's return there are
/// none. `from`: in one of them.
uintptr_t find_program_sp(const unwind::Registers& from) {
  constexpr size_t kMostFrames = 64;
  unwind::Frame frames[kMostFrames];
  unwind::SlotLog log;
  unwind::StackBounds bounds = bounds_around(from.sp);
#ifndef __GLIBC__
  if (g_sp_after_main && bounds.contains(g_sp_after_main, sizeof from.sp)) return g_sp_after_main;
#endif
  unwind::WalkResult walked = unwind::walk(from, bounds, g_tracker.runtime_module, frames, log);
  uintptr_t sp = from.sp;
  for (const unwind::Frame& frame : std::span(frames).first(walked.frames)) {
    // The return address into it is on the stack, in its callee's frame.
    uintptr_t at = sp;
    while (bounds.contains(at, sizeof at) && *reinterpret_cast<const uintptr_t*>(at) != frame.pc) at += sizeof at;
    if (frame.pc != from.pc && !bounds.contains(at, sizeof at)) return from.sp;
    if (frame.pc != from.pc) sp = at + sizeof at;
    if (!track::is_libc_module(frame.module)) return sp;
  }
  return from.sp;
}

/// `now_ns`: of CLOCK_MONOTONIC.
void enter(ledger::Writer& out, const char* problem, uint64_t now_ns = base::monotonic_ns()) {
  ledger::Header& header = out.header();
  header.grading.store(static_cast<uint32_t>(Grading::none), std::memory_order_release);
  header.graded_monotonic_ns = now_ns;
  if (problem) header.no_grading = out.add_text(problem);
  header.grading.store(static_cast<uint32_t>(problem ? Grading::refused : Grading::done), std::memory_order_release);
}

/// For signals. Of a stopped thread it is among its registers.
uintptr_t own_alternate_stack() {
  stack_t alternate{};
  base::raw_syscall(SYS_sigaltstack, 0, reinterpret_cast<long>(&alternate));
  return reinterpret_cast<uintptr_t>(alternate.ss_sp);
}

/// Where no other thread runs: at the process's end, or in a copy of it. nullptr, or why nothing could be found out.
const char* grade_here(const grade::Moment& moment, uint32_t since_epoch, ledger::Writer& out) {
  out.header().grading.store(static_cast<uint32_t>(Grading::none), std::memory_order_release);
  base::BoundedCall call;
  if (!call.reserve(kStackBytes)) return "there is no memory for it";
  call.stop_at_faults();
  struct Work {
    const grade::Moment& moment;
    uint32_t since_epoch;
    ledger::Writer& out;
    const char* problem = "it took too long, or memory could not be read";
  } work{moment, since_epoch, out};
  bool has_returned = call.run(
      [](void* context) {
        auto& the = *static_cast<Work*>(context);
        the.problem = grade::grade(the.moment, the.since_epoch, the.out);
      },
      &work, kMostMicroseconds);
  if (!has_returned) grade::Scratch::release_all();
  return work.problem;
}

/// In a copy of the process whose only task it is.
int grade_copy_alone(void* context) {
  static_cast<LiveGrading*>(context)->grade_copy(g_tracker.writer);
  return 0;
}

/// What a copy has written lies in the ledger's file, but this process does not know yet that it may be touched.
void take_over_pages(const ledger::Writer& out) {
  using ledger::SectionId;
  for (SectionId id : {SectionId::grades, SectionId::retention, SectionId::modules, SectionId::strings}) {
    const ledger::Section& section = out.section(id);
    uint64_t bytes = std::min(section.count.load(std::memory_order_acquire), section.capacity) * section.record_bytes;
    for (uint64_t at = 0; at < bytes; at += ledger::kPageBytes)
      if (!out.ensure(section.offset + at, std::min<uint64_t>(ledger::kPageBytes, bytes - at))) return;
  }
}

constexpr const char* kNoCopy = "no copy of the process could be made, or the copy failed";

void grade_in_copy(uintptr_t sp, int patience_ms, uint32_t since_epoch, bool leaves) {
  LiveGrading grading(sp, patience_ms, since_epoch);
  bool is_there, again;
  do {
    track::own_child_begins();
    uint64_t begun_ns = base::monotonic_ns();
    grading.begin();
    long pid = start_copy(
        &grading, -1, [](void* context) { static_cast<LiveGrading*>(context)->collect(); }, grade_copy_alone);
    again = grading.end(!base::is_error(pid), g_tracker.writer);
    is_there = !base::is_error(pid);
    if (is_there && leaves && !again) return leave_copy(begun_ns);
    is_there = is_there && wait_for_copy(kMostMilliseconds) == 0;
  } while (again && is_there);
  if (is_there)
    take_over_pages(g_tracker.writer);
  else
    grading.refuse(g_tracker.writer);
}

}  // namespace

void LiveGrading::begin() {
  arch::save_kept_registers(kept_.registers);
  signals_.emplace();  // a handler of the program's might wait for one of the threads
  if (!began_ns_) began_ns_ = base::monotonic_ns();
  if (!outcome_) outcome_ = map_shared_word();
  if (outcome_) outcome_->store(Outcome::open);
  problem_ = outcome_ ? stop_threads() : "there is no memory for it";
  if (problem_) return;
  if (!kept_memory_.give()) {
    problem_ = "memory hidden from fork children (MADV_DONTFORK, MADV_WIPEONFORK) could not be located";
    return;
  }
  if (!track::g_heap_index.keep_in_children(true)) {
    problem_ = "the kernel does not let a copy of the process see the heap index";
    return;
  }
  kept_by_kernel_.collect_timers();
  kept_.alternate_stack = own_alternate_stack();
  auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  auto low = reinterpret_cast<uintptr_t>(&kept_);
  uintptr_t sp = sp_ ? sp_ : here;
  threads_.add(
      {base::current_tid(), sp, low, low + sizeof kept_, unwind::caller_registers(), track::is_moving_block(sp)});
  taken_ns_ = base::monotonic_ns();
  threads_.look_again();
}

/// Stops them at a moment when none is in realloc, if there is one soon: if one is, free memory must count as in use.
const char* LiveGrading::stop_threads() {
  constexpr int kMostTries = 8;
  for (int tries = 1;; ++tries) {
    const char* problem = threads_.stop(patience_ms_);
    if (problem || !threads_.any_moves_block() || tries == kMostTries) return problem;
    threads_.release();
    sleep_ns(100'000);
  }
}

void LiveGrading::collect() {
  if (problem_) return;
  kept_by_kernel_.collect();
  Outcome before = Outcome::open;
  is_late_ = !outcome_->compare_exchange_strong(before, Outcome::collected);
  wake(outcome_);
}

/// It takes the copy a tenth of a millisecond to begin, and a microsecond a descriptor and a connection.
void LiveGrading::wait_until_collected() {
  constexpr uint64_t kMostNs = 50'000'000;
  uint64_t end = base::monotonic_ns() + kMostNs;
  for (uint64_t now = end - kMostNs; now < end; now = base::monotonic_ns()) {
    if (outcome_->load(std::memory_order_acquire) != Outcome::open) return;
    wait_while(outcome_, Outcome::open, end - now);
  }
  Outcome before = Outcome::open;
  outcome_->compare_exchange_strong(before, Outcome::late);
}

bool LiveGrading::end(bool has_copy, ledger::Writer& out) {
  constexpr int kMostTries = 20;
  constexpr uint64_t kMostNs = 100'000'000;
  if (!problem_) track::g_heap_index.keep_in_children(false);
  kept_memory_.keep_again();
  if (has_copy && !problem_) wait_until_collected();
  const char* problem = threads_.release();
  bool again = problem && !problem_ && ++tries_ < kMostTries && base::monotonic_ns() - began_ns_ < kMostNs;
  if (problem && !problem_ && !again) problem_ = problem;
  if (outcome_) {
    outcome_->store(again ? Outcome::again : problem_ ? Outcome::moved : Outcome::still, std::memory_order_release);
    wake(outcome_);
  }
  if (problem_) enter(out, problem_);
  signals_.reset();  // last: a handler may end the process, and then waits for the copy, which waits for the outcome
  return again;
}

LiveGrading::Outcome LiveGrading::wait_for_outcome() const {
  constexpr int kLookMs = 100;
  for (int waited = 0;; waited += kLookMs) {
    Outcome outcome = outcome_->load(std::memory_order_acquire);
    if (outcome > Outcome::late || waited >= kMostMilliseconds) return outcome;
    wait_while(outcome_, outcome, kLookMs * 1'000'000);
  }
}

void LiveGrading::refuse(ledger::Writer& out) const { enter(out, problem_ ? problem_ : kNoCopy); }

bool LiveGrading::grade_copy(ledger::Writer& out) {
  Outcome outcome = problem_ ? Outcome::moved : wait_for_outcome();
  if (outcome == Outcome::again) return false;
  if (outcome != Outcome::still) {
    enter(out, problem_ ? problem_ : "a thread kept running meanwhile");
    return true;
  }
  auto patience = patience_ms_ == kPatienceMs ? grade::Patience::on_request : grade::Patience::at_end;
  track::g_heap_index.reset_lock_after_fork();
  track::reset_modules_after_fork();
  enter(out, grade_here({threads_.at_rest(), taken_ns_, &kept_by_kernel_, is_late_, patience}, since_epoch_, out));
  return true;
}

LiveGrading::~LiveGrading() {
  if (outcome_) base::raw_syscall(SYS_munmap, reinterpret_cast<long>(outcome_), sizeof *outcome_);
}

bool collect_grading(int milliseconds, bool kills) {
  // A fork child that is not known yet has its parent's.
  if (!base::may_call_system() || !track::g_fork_page.alive.load(std::memory_order_acquire)) return true;
  constexpr int kNone = -2;
  int status = kNone;
  uint64_t begun_ns = 0;
  if (!collect_left_copy(milliseconds, kills, status, begun_ns)) return false;
  if (status == kNone) return true;
  ledger::Header& header = g_tracker.writer.header();
  bool has_answered = header.graded_monotonic_ns >= begun_ns &&
                      header.grading.load(std::memory_order_acquire) != static_cast<uint32_t>(Grading::none);
  // The answer to the request that it was made for: there may be another by now.
  if (!has_answered)
    enter(g_tracker.writer, kills ? "the process had something else to do: a report, an exec, or to end" : kNoCopy,
          begun_ns);
  if (status == 0) take_over_pages(g_tracker.writer);
  return true;
}

void grade_live(uint32_t since_epoch, bool leaves) {
  if (g_settings.grade == report::GradeWhen::on)
    grade_in_copy(0, LiveGrading::kPatienceMs, since_epoch, leaves);
  else
    enter(g_tracker.writer, "UNFREED_GRADE does not allow it while the process runs");
}

void refuse_grading(const char* why) { enter(g_tracker.writer, why); }

uintptr_t grade_at_end(const unwind::Registers& from, bool is_only_thread) {
  if (g_settings.grade == report::GradeWhen::off) return 0;
  // Nothing can be found out. Valgrind would report our reading of the stack as an error, and may fail the program.
  if (g_tracker.writer.header().coverage[static_cast<size_t>(ledger::Kind::heap)] ==
      static_cast<uint8_t>(ledger::Coverage::unavailable)) {
    enter(g_tracker.writer, grade_here({{}, base::monotonic_ns()}, 0, g_tracker.writer));
    return 0;
  }
  uintptr_t sp = find_program_sp(from);
  if (is_only_thread) {
    uintptr_t kept[] = {own_alternate_stack()};
    auto low = reinterpret_cast<uintptr_t>(kept);
    ThreadAtRest thread{base::current_tid(), sp, low, low + sizeof kept, from, track::is_moving_block(from.sp)};
    enter(g_tracker.writer, grade_here({{&thread, 1}, base::monotonic_ns()}, 0, g_tracker.writer));
    return 0;
  }
  if (g_tracker.writer.backing() == ledger::Backing::private_memory) return sp;
  grade_in_copy(sp, LiveGrading::kPatienceAtEndMs, 0, false);
  return 0;
}

}  // namespace unfreed::runtime
