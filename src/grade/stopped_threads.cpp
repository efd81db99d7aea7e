#include "grade/stopped_threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string_view>

#include "arch/signal_context.h"
#include "base/numbered_entries.h"
#include "base/own_memory.h"
#include "base/scan.h"
#include "base/signal_action.h"
#include "base/syscall.h"
#include "base/text.h"
#include "base/waiting_call.h"
#include "grade/cut_short.h"
#include "track/heap.h"

namespace unfreed::grade {

using base::is_error;
using base::raw_syscall;

struct StoppedThreads::Slot {
  enum class State : uint32_t {
    sent,
    stopped,  ///< it waits in the handler
    left,     ///< it blocks the signal, and waits in the kernel
    resumed,  ///< it has gone on by itself, as nobody let it
  };
  /// The stop whose signal carries it, 0 for none; and how many handlers look at it, or wait.
  //
  // A signal may reach its handler long after its stop is over: the kernel had taken it from the queue, and the thread
  // did not run. So a stop begins behind the slots of the stop before, and only where those are many with the first one
  // again: the late handler mostly still finds the call that it has cut short. Where a stop does take the slot for
  // another thread, the two agree by
  //
  //     handler                          stop, in clear()
  //     users + 1                        number = 0
  //     number: is it mine?              users: are there any?  then wait, or give up
  //     yes: use it;  users - 1          none: write; number = this stop, in send()
  //
  // All four are sequentially consistent. If the stop finds no users, then the handler's first step comes later in
  // their one order than the stop's second, and so its own second step finds 0 or the new number, which no other stop
  // has had. Else the handler has done with the slot before the stop writes to it.
  std::atomic<uint32_t> number, users;
  int tid;
  std::atomic<State> state;
  base::WaitingCall call;  ///< that it was waiting in before
  uintptr_t sp;
  uintptr_t registers_low;
  uintptr_t registers_high;
  unwind::Registers walk_from;
  bool moves_block;
  uint64_t switches;  ///< how often it had been scheduled: more than that, and it has run since
};

namespace {

constexpr long kMillisecondNs = 1'000'000;
/// How long a wait takes; two of them a millisecond.
constexpr long kWaitNs = kMillisecondNs / 2;
/// A report of a process that has lost its reporting thread does not hold it up for ever.
constexpr int kMostSeconds = 2;

/// Which stop it is: a signal that comes late belongs to none, or to an earlier one. 0: threads may go on.
constinit std::atomic<uint32_t> g_stop{0};
constinit std::atomic<uint32_t> g_last_stop{0};
constinit std::atomic<uint32_t> g_answers{0};
/// For good: a handler may be about to look at them, however late. (StoppedThreads::Slot is private.)
constinit void* g_slots = nullptr;
/// Where the next stop begins.
constinit size_t g_next_slot = 0;
/// Those from here on have never been used.
constinit std::atomic<size_t> g_slots_used{0};
/// The last one that threads were stopped by; 0: none was. (The kernel copies a process's handlers before its memory,
/// so this stays when the handler goes.)
constinit std::atomic<int> g_signal{0};

void wait_on(const std::atomic<uint32_t>& word, uint32_t value, timespec limit) {
  raw_syscall(SYS_futex, reinterpret_cast<long>(&word), FUTEX_WAIT_PRIVATE, value, reinterpret_cast<long>(&limit));
}
void wake(const std::atomic<uint32_t>& word) {
  raw_syscall(SYS_futex, reinterpret_cast<long>(&word), FUTEX_WAKE_PRIVATE, INT32_MAX);
}

constexpr size_t kListBytes = 2048, kStatusBytes = 8192, kTextBytes = kListBytes + kStatusBytes;

struct Status {
  char state;
  uint64_t blocked;   ///< signals
  uint64_t pending;   ///< for the thread or the process
  uint64_t switches;  ///< of contexts
};

/// What follows a name in a status file, to the line's end.
std::string_view value_of(std::string_view status, std::string_view name) {
  size_t at = status.find(name);
  if (at == status.npos) return {};
  std::string_view rest = base::slice(status, at + name.size());
  return base::slice(rest, 0, rest.find('\n'));
}
/// 0 where there is none.
uint64_t signals_in(std::string_view status, std::string_view name) {
  std::string_view value = value_of(status, name);
  uint64_t signals = 0;
  base::take_hexadecimal(value, signals);
  return signals;
}
uint64_t count_in(std::string_view status, std::string_view name) {
  uint64_t count = 0;
  base::parse_number(value_of(status, name), count);
  return count;
}

enum class Read : uint8_t { done, gone, failed };

Read read_status(int tid, std::span<char> text, Status& out) {
  base::FixedText<64> path;
  path.add("/proc/self/task/").add_signed(tid).add("/status");
  long size = base::read_file(path.c_str(), text.data(), text.size());
  if (size == -ENOENT || size == -ESRCH) return Read::gone;
  std::string_view status(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view kState = "\nState:\t";
  size_t at = status.find(kState);
  if (at == status.npos || at + kState.size() >= status.size() || status.find("\nnonvoluntary_ctxt") == status.npos)
    return Read::failed;
  out.state = status[at + kState.size()];
  out.blocked = signals_in(status, "\nSigBlk:\t");
  out.pending = signals_in(status, "\nSigPnd:\t") | signals_in(status, "\nShdPnd:\t");
  out.switches = count_in(status, "\nvoluntary_ctxt_switches:\t") + count_in(status, "\nnonvoluntary_ctxt_switches:\t");
  return out.state == 'Z' || out.state == 'X' ? Read::gone : Read::done;
}

constexpr const char* kNoList = "/proc does not show the process's threads";

/// A real-time signal at its default action, which would end the process, and of which none is queued. 0: there is
/// none. −1: it cannot be found out.
int find_signal(std::span<char> text) {
  constexpr int kLast = 64, kFirst = 40;
  Status own{};
  if (read_status(base::current_tid(), text, own) != Read::done) return -1;
  for (int signal = kLast - 1; signal >= kFirst; --signal) {
    base::SignalAction action;
    if (own.pending >> (signal - 1) & 1) continue;
    if (base::get_signal_action(signal, action) && !action.handler) return signal;
  }
  return 0;
}

}  // namespace

void StoppedThreads::handle(int signal, siginfo_t* info, void* context_place) {
  auto& context = *static_cast<ucontext_t*>(context_place);
  auto value = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  auto stop = static_cast<uint32_t>(value >> 32), at = static_cast<uint32_t>(value);
  if (info->si_code != SI_QUEUE || !stop || at >= kMost) return;
  Slot& slot = static_cast<Slot*>(g_slots)[at];
  slot.users.fetch_add(1);
  bool is_mine = slot.number.load() == stop;
  base::WaitingCall call = is_mine ? slot.call : base::WaitingCall{};
  if (is_mine) wait_in_handler(slot, stop, context);
  slot.users.fetch_sub(1, std::memory_order_release);
  if (is_mine) make_again_if_cut_short(context, call, signal);
}

/// Unless the stop is over.
void StoppedThreads::wait_in_handler(Slot& slot, uint32_t stop, ucontext_t& context) {
  if (g_stop.load(std::memory_order_acquire) != stop) return;
  slot.sp = arch::stack_pointer(context);
  slot.registers_low = reinterpret_cast<uintptr_t>(&context);
  slot.registers_high = arch::end_of_registers(context);
  slot.walk_from = arch::registers_of(context);
  slot.moves_block = track::is_moving_block(slot.sp);
  slot.state.store(Slot::State::stopped, std::memory_order_release);
  g_answers.fetch_add(1, std::memory_order_release);
  wake(g_answers);
  for (int looks = 0; looks < kMostSeconds && g_stop.load(std::memory_order_acquire) == stop; ++looks)
    wait_on(g_stop, stop, {1, 0});
  if (g_stop.load(std::memory_order_acquire) == stop) slot.state.store(Slot::State::resumed, std::memory_order_release);
}

const char* StoppedThreads::stop(int patience_ms) {
  most_waits_ = patience_ms * 2;
  if (!arch::kKnowsSignalContext) return "threads cannot be stopped on this processor";
  if (!g_slots) g_slots = base::own_array<Slot>(kMost);
  slots_ = static_cast<Slot*>(g_slots);
  at_rest_ = thread_memory_.reserve_array<ThreadAtRest>(kMost);
  text_ = static_cast<char*>(text_memory_.reserve(kTextBytes));
  if (!slots_ || !at_rest_ || !text_) return "there is no memory for it";
  signal_ = find_signal({text_ + kListBytes, kStatusBytes});
  if (signal_ < 0) return kNoList;
  if (!signal_) return "the program uses every signal that threads could be stopped by";
  uint32_t number = g_last_stop.fetch_add(1) + 1;
  first_slot_ = g_next_slot;
  slot_count_ = count_ = 0;
  g_answers.store(0);
  g_stop.store(number, std::memory_order_release);
  is_stopped_ = true;
  g_signal.store(signal_);
  constexpr uint64_t kAll = ~uint64_t{0};
  base::set_signal_action(signal_, {handle, SA_SIGINFO | SA_RESTART | SA_ONSTACK, nullptr, kAll}, nullptr);
  const char* problem = finish_stop();
  if (problem) release();
  return problem;
}

/// Until no thread is found that is new: those that run may start others.
const char* StoppedThreads::finish_stop() {
  constexpr int kMostPasses = 10;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    size_t before = slot_count_;
    bool any_new = false;
    if (const char* problem = find_new(any_new)) return problem;
    if (!any_new) {
      for (size_t at = 0; at < slot_count_; ++at) add(thread_at_rest(slot_at(at)));
      return nullptr;
    }
    if (!wait_for_stops(before)) return "a thread did not stop in time";
  }
  return "new threads kept starting";
}

const char* StoppedThreads::find_new(bool& any_new) {
  long directory = base::open_file("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (is_error(directory)) return kNoList;
  int own = base::current_tid();
  size_t known = slot_count_;
  const char* problem = nullptr;
  bool is_whole = base::each_numbered_entry(directory, {text_, kListBytes}, [&](int tid) {
    for (size_t at = 0; at < known; ++at)
      if (slot_at(at).tid == tid) return true;
    if (tid != own) problem = take(tid);
    return !problem;
  });
  base::close_file(directory);
  any_new = slot_count_ != known;
  return problem || is_whole ? problem : kNoList;
}

/// nullptr, or why it cannot be stopped and does not rest.
const char* StoppedThreads::take(int tid) {
  if (slot_count_ == kMost) return "there are too many threads";
  Slot& slot = slot_at(slot_count_);
  auto number = static_cast<size_t>(&slot - slots_);
  if (number >= g_slots_used.load()) g_slots_used.store(number + 1);
  is_slot_taken_ = !clear(slot);
  if (is_slot_taken_) return "a thread has not gone on since it was stopped before";
  for (int looks = 0; looks < most_waits_; ++looks) {
    Status status;
    Read read = read_status(tid, {text_ + kListBytes, kStatusBytes}, status);
    if (read == Read::gone) return nullptr;
    if (read == Read::failed) return kNoList;
    base::Waiting waiting = base::read_waiting_call(0, tid, slot.call);
    // A signal could then end what is not known and so not made again, or be what the thread waits for.
    if (waiting == base::Waiting::refused)
      return "the kernel does not show what its threads wait for: it has changed its user, or may not be dumped";
    slot.tid = tid;
    slot.switches = status.switches;
    // A thread that waits for signals would be given ours, as the kernel unblocks those that it waits for.
    bool takes_signals = waiting == base::Waiting::yes && slot.call.number == SYS_rt_sigtimedwait;
    if (!(status.blocked >> (signal_ - 1) & 1) && !takes_signals)
      return send(slot) ? nullptr : "a limit on queued signals prevents that a thread is stopped";
    if (waiting == base::Waiting::yes && status.state != 'R') {
      slot.state.store(Slot::State::left, std::memory_order_relaxed);
      ++slot_count_;
      return nullptr;
    }
    // It blocks signals for a moment, as libc and this library do.
    timespec moment{0, kWaitNs};
    raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
  }
  return "a thread blocks all signals and does not wait";
}

/// False: a handler of an earlier stop does not leave it.
bool StoppedThreads::clear(Slot& slot) {
  slot.number.store(0);
  for (int looks = 0; slot.users.load(); ++looks) {
    if (looks >= most_waits_) return false;
    timespec moment{0, kWaitNs};
    raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
  }
  return true;
}

bool StoppedThreads::send(Slot& slot) {
  siginfo_t info{};
  info.si_signo = signal_;
  info.si_code = SI_QUEUE;
  info.si_pid = base::current_pid();
  uint32_t stop = g_stop.load();
  info.si_value.sival_ptr = reinterpret_cast<void*>(uintptr_t{stop} << 32 | static_cast<size_t>(&slot - slots_));
  slot.state.store(Slot::State::sent, std::memory_order_relaxed);
  slot.number.store(stop);
  ++slot_count_;
  long result = raw_syscall(SYS_rt_tgsigqueueinfo, info.si_pid, slot.tid, signal_, reinterpret_cast<long>(&info));
  if (result == -ESRCH) --slot_count_;
  return result == 0 || result == -ESRCH;
}

/// False: not all that were sent the signal have stopped.
bool StoppedThreads::wait_for_stops(size_t first) {
  for (int waits = 0; waits < most_waits_;) {
    uint32_t answers = g_answers.load(std::memory_order_acquire);
    bool all = true;
    for (size_t at = first; all && at < slot_count_; ++at)
      all = slot_at(at).state.load(std::memory_order_acquire) != Slot::State::sent;
    if (all) return true;
    if (g_answers.load(std::memory_order_acquire) != answers) continue;
    wait_on(g_answers, answers, {0, kWaitNs});
    if (g_answers.load(std::memory_order_acquire) == answers) ++waits;
  }
  // One that has ended does not answer.
  for (size_t at = first; at < slot_count_; ++at) {
    Slot& slot = slot_at(at);
    if (slot.state.load(std::memory_order_acquire) != Slot::State::sent) continue;
    if (raw_syscall(SYS_tgkill, base::current_pid(), slot.tid, 0) != -ESRCH) return false;
    slot.sp = slot.registers_low = slot.registers_high = 0;
    slot.walk_from = {};
    slot.moves_block = false;
    slot.state.store(Slot::State::stopped, std::memory_order_relaxed);
  }
  return true;
}

ThreadAtRest StoppedThreads::thread_at_rest(const Slot& slot) {
  if (slot.state.load(std::memory_order_acquire) != Slot::State::left)
    return {slot.tid, slot.sp, slot.registers_low, slot.registers_high, slot.walk_from, slot.moves_block};
  return {slot.tid,
          slot.call.sp,
          reinterpret_cast<uintptr_t>(slot.call.arguments),
          reinterpret_cast<uintptr_t>(std::end(slot.call.arguments)),
          {slot.call.pc, slot.call.sp, 0, true, false},
          track::is_moving_block_elsewhere(slot.call.sp)};
}

/// Of one that was left alone: has it not run since it was looked at? If it has, and waits again, that is where it is
/// now.
bool StoppedThreads::is_where_it_was(Slot& slot) {
  Status status{};
  base::WaitingCall now;
  // In this order, as in take(): a count that is too low only says that it has run.
  if (read_status(slot.tid, {text_ + kListBytes, kStatusBytes}, status) != Read::done || status.state == 'R' ||
      base::read_waiting_call(0, slot.tid, now) != base::Waiting::yes)
    return false;
  if (now == slot.call && status.switches == slot.switches) return true;
  slot.call = now;
  slot.switches = status.switches;
  return false;
}

void StoppedThreads::look_again() {
  constexpr int kMostPasses = 20;
  bool any_ran = true;
  for (int pass = 0; any_ran && pass < kMostPasses; ++pass) {
    any_ran = false;
    for (size_t at = 0; at < slot_count_; ++at) {
      Slot& slot = slot_at(at);
      if (slot.state.load(std::memory_order_acquire) != Slot::State::left || is_where_it_was(slot)) continue;
      at_rest_[at] = thread_at_rest(slot);
      any_ran = true;
    }
  }
}

void StoppedThreads::reset_after_fork() {
  g_stop.store(0);
  g_answers.store(0);
  g_next_slot = 0;
  auto* slots = static_cast<Slot*>(g_slots);
  for (size_t at = 0, used = slots ? g_slots_used.load() : 0; at < used; ++at) {
    slots[at].number.store(0);
    slots[at].users.store(0);
  }
  g_slots_used.store(0);
  int signal = g_signal.exchange(0);
  base::SignalAction action;
  if (signal && base::get_signal_action(signal, action) && action.handler == handle)
    base::set_signal_action(signal, {}, nullptr);
}

StoppedThreads::Slot& StoppedThreads::slot_at(size_t at) { return slots_[(first_slot_ + at) % kMost]; }

bool StoppedThreads::any_moves_block() const {
  return std::any_of(at_rest_, at_rest_ + count_, [](const ThreadAtRest& thread) { return thread.moves_block; });
}

const char* StoppedThreads::release() {
  if (!is_stopped_) return nullptr;
  is_stopped_ = false;
  const char* problem = nullptr;
  for (size_t at = 0; at < slot_count_; ++at) {
    Slot& slot = slot_at(at);
    Slot::State state = slot.state.load(std::memory_order_acquire);
    if (state == Slot::State::resumed) problem = "it took too long while threads were stopped";
    if (state != Slot::State::left) continue;
    if (!is_where_it_was(slot)) problem = "a thread that blocks all signals kept running";
  }
  g_stop.store(0, std::memory_order_release);
  wake(g_stop);
  constexpr size_t kMany = 256;
  size_t next = first_slot_ + slot_count_ + is_slot_taken_;
  g_next_slot = next < kMany ? next : 0;
  // Ignoring a signal takes it away from those that have not got it yet; its default action would end the process.
  base::SignalAction action;
  if (base::get_signal_action(signal_, action) && action.handler == handle) {
    base::set_signal_action(signal_, {base::kIgnoreSignal}, nullptr);
    base::set_signal_action(signal_, {}, nullptr);
  }
  return problem;
}

}  // namespace unfreed::grade
