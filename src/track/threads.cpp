#include "track/threads.h"

#include <errno.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>

#include "base/free_list.h"
#include "base/numbered_entries.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/blind_spots.h"
#include "track/counters.h"
#include "track/epochs.h"
#include "track/failures.h"
#include "track/modules.h"
#include "track/sites.h"
#include "track/thread_ranges.h"
#include "track/tracker.h"
#include "unwind/moved_function.h"
#include "unwind/objects.h"

namespace unfreed::track {

using ledger::Kind;
using ledger::SectionId;
using ledger::ThreadRecord;
using State = ledger::ThreadState;

namespace {

constexpr uint32_t kNone = ~0u;
constexpr size_t kHints = 16384;

/// What a new thread needs to know. There is one for each record.
struct Ticket {
  ThreadStart start;
  uint32_t generation;
  size_t stack_bytes;
  ThreadState* state;               ///< may be null
  std::atomic<uint64_t> uncounted;  ///< generation + 1 of a thread that is to be counted once it is known to run
  std::atomic<Ticket*> next_free;
};

// All of it is lock-free: a lock blocks signals, with two system calls, and a thread's life is short.
Ticket* g_tickets;  // by number of the record
constinit base::GrowingMemory g_ticket_memory;
constinit base::FreeList<Ticket> g_free;    // tickets, and so records, that no thread has
std::atomic<uint32_t> g_by_handle[kHints];  // record + 1 that was last given a handle of this hash

constinit unwind::MovedFunction<int(pthread_key_t*, void (*)(void*))> g_pthread_key_create("pthread_key_create");
constinit unwind::MovedFunction<int(pthread_key_t, const void*)> g_pthread_setspecific("pthread_setspecific");
constinit unwind::MovedFunction<int(const pthread_attr_t*, size_t*)> g_pthread_attr_getstacksize(
    "pthread_attr_getstacksize");
enum class Key : uint8_t { none, under_way, made };
std::atomic<Key> g_key_state;
pthread_key_t g_key;

ThreadRecord& record_at(uint32_t index) { return *g_tracker.writer.at<ThreadRecord>(SectionId::threads, index); }

std::atomic<uint32_t>& hint_for(uint64_t handle) { return g_by_handle[(handle >> 6) * 0x9e3779b97f4a7c15u >> 50]; }
static_assert(kHints == 1u << 14);

uint32_t take_record() {
  if (Ticket* ticket = g_free.take()) return static_cast<uint32_t>(ticket - g_tickets);
  auto& count = g_tracker.writer.section(SectionId::threads).count;
  uint64_t index = count.load(std::memory_order_relaxed);
  while (g_ticket_memory.grow_to((index + 1) * sizeof(Ticket)) &&
         g_tracker.writer.touch<ThreadRecord>(SectionId::threads, index))
    if (count.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel)) return static_cast<uint32_t>(index);
  g_tracker.writer.drop(ledger::Dropped::threads_full);
  return kNone;
}

/// Stands for the handle that the thread of a record will have: handles are addresses, and not odd.
uint64_t handle_to_come(uint32_t generation) { return uint64_t{generation} << 1 | 1; }

/// Called by the new thread or by its creator, whichever is first. For the creator it may be gone by then.
void bind_handle(uint32_t index, uint32_t generation, uint64_t handle) {
  uint64_t expected = handle_to_come(generation);
  if (record_at(index).handle.compare_exchange_strong(expected, handle, std::memory_order_acq_rel))
    hint_for(handle).store(index + 1, std::memory_order_release);
}

/// Adds a flag and tells which there were.
uint32_t flag(ThreadRecord& record, uint32_t one) { return record.flags.fetch_or(one, std::memory_order_acq_rel); }

/// Counts the thread as started, once. Called by the thread and by its creator. (The record may be reused by then.)
void count_started(uint32_t index, uint32_t generation, uint32_t site) {
  uint64_t expected = uint64_t{generation} + 1;
  if (g_tickets[index].uncounted.compare_exchange_strong(expected, 0, std::memory_order_acq_rel))
    count_acquired_with_peak(Kind::thread, site);
}

/// It counts for nothing from now on.
void stop_counting(ThreadRecord& record) {
  if (!(flag(record, ledger::kThreadIgnored) & ledger::kThreadIgnored) && record.site)
    count_released_with_peak(Kind::thread, record.site);
}

/// Frees the record of a thread that is gone for good. Only the first call for each generation has an effect: a program
/// may detach a thread that is being joined.
void release_record(uint32_t index, uint32_t generation) {
  ThreadRecord& record = record_at(index);
  if (!record.generation.compare_exchange_strong(generation, generation + 1, std::memory_order_acq_rel)) return;
  stop_counting(record);
  record.handle.store(0, std::memory_order_release);
  record.state.store(static_cast<uint32_t>(State::free), std::memory_order_release);
  g_free.give_back(&g_tickets[index]);
}

/// Of two records with one handle (a thread that has been joined, but is not released yet) the later.
uint32_t find_record(uint64_t handle) {
  auto is_named = [handle](uint32_t index) {
    return record_at(index).handle.load(std::memory_order_acquire) == handle;
  };
  if (!handle || handle & 1) return kNone;  // nobody's, or to come
  const ledger::Section& table = g_tracker.writer.section(SectionId::threads);
  uint64_t count = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  uint32_t hint = hint_for(handle).load(std::memory_order_acquire);  // perhaps a fork parent's
  if (hint && hint <= count && is_named(hint - 1)) return hint - 1;
  uint32_t found = kNone;
  for (uint32_t index = 0; index < count; ++index) {
    if (!is_named(index)) continue;
    bool is_later = found == kNone || static_cast<int32_t>(record_at(index).serial - record_at(found).serial) > 0;
    if (is_later) found = index;
  }
  if (found != kNone) hint_for(handle).store(found + 1, std::memory_order_release);
  return found;
}

uint64_t lookup_value(uint32_t index) { return uint64_t{record_at(index).generation} << 32 | (index + 1); }

void describe_start(ThreadRecord& record, const ThreadStart& start) {
  auto pc = start.routine ? reinterpret_cast<uintptr_t>(start.routine) : reinterpret_cast<uintptr_t>(start.c11_routine);
  unwind::Object object;
  record.start_module = unwind::find_object(pc, object) ? module_number(object) : 0;
  record.start_module_offset = record.start_module ? pc - object.bias : pc;
}

/// The calling thread's record says that it has ended.
void finish_record(uint32_t index, const NetHeap& net) {
  ThreadRecord& record = record_at(index);
  uint32_t generation = record.generation;
  record.finished_ns = base::monotonic_ns();
  record.heap_blocks = net.blocks;
  record.heap_bytes = net.bytes;
  if (!(record.flags.load(std::memory_order_relaxed) & ledger::kThreadDetached))
    base::raw_syscall(SYS_prctl, PR_GET_NAME, reinterpret_cast<long>(record.name));
  record.state.store(static_cast<uint32_t>(State::finished), std::memory_order_release);
  // Ended and detached: the second of the two calls frees it.
  if (flag(record, ledger::kThreadEnded) & ledger::kThreadDetached) release_record(index, generation);
}

/// The thread's own ending. Runs in three rounds of key destructors, so that most others have had their turn.
void thread_ending(void* rounds) {
  auto round = reinterpret_cast<uintptr_t>(rounds);
  if (round < 3) {
    g_pthread_setspecific.get()(g_key, reinterpret_cast<void*>(round + 1));
    return;
  }
  int32_t index = t_local.state ? t_local.state->record : -1;
  bool has_record = index >= 0 && enter(Kind::thread);
  NetHeap net = retire_own_state();
  if (has_record) finish_record(static_cast<uint32_t>(index), net);
}

/// In the new thread, before anything of the program's.
ThreadStart begin_thread(void* argument) {
  auto* ticket = static_cast<Ticket*>(argument);
  ThreadStart start = ticket->start;
  auto index = static_cast<uint32_t>(ticket - g_tickets);
  count_started(index, ticket->generation, record_at(index).site);
  if (ticket->state) {
    start_with_state(ticket->state, ticket->stack_bytes, index);
    const ThreadState& state = *t_local.state;
    bind_handle(index, ticket->generation, static_cast<uint64_t>(pthread_self()));
    ThreadRecord& record = record_at(index);
    record.tid = state.tid;
    record.stack_low = state.bounds.low;
    record.stack_high = state.bounds.high;
    // Above its frames libc keeps thread-local variables, and what it knows of the thread, to the end of the last page.
    constexpr uintptr_t kPage = 4096;
    auto self = static_cast<uintptr_t>(pthread_self());
    note_thread_range({state.bounds.low, (self | (kPage - 1)) + 1, self});
  }
  refresh_active();
  return start;
}

}  // namespace

ThreadBirth thread_creating(const ThreadStart& start, size_t stack_bytes, bool detached, uint16_t hook,
                            const unwind::Registers& from) {
  if (!enter(Kind::thread)) return {};
  uint32_t site = capture_site(Kind::thread, hook, from);
  uint32_t index = take_record();
  if (index == kNone) return {};
  ThreadRecord& record = record_at(index);
  record.site = site;
  record.creator_tid = t_local.state ? t_local.state->tid : base::current_tid();
  record.tid = 0;
  record.serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  record.started_ns = base::monotonic_ns();
  note_time(record.started_ns);
  record.finished_ns = 0;
  record.name[0] = '\0';
  record.current_ns = 0;
  record.current_node = 0;
  record.heap_blocks = 0;
  record.heap_bytes = 0;
  describe_start(record, start);
  uint32_t flags = (detached ? ledger::kThreadDetached : 0) | (t_local.pause_depth ? ledger::kThreadIgnored : 0);
  record.flags.store(flags, std::memory_order_relaxed);
  record.handle.store(handle_to_come(record.generation), std::memory_order_release);
  record.state.store(static_cast<uint32_t>(State::running), std::memory_order_release);
  Ticket& ticket = g_tickets[index];
  ticket.start = start;
  ticket.generation = record.generation;
  ticket.stack_bytes = stack_bytes;
  ticket.state = take_state();
  ticket.uncounted.store(t_local.pause_depth ? 0 : uint64_t{ticket.generation} + 1, std::memory_order_release);
  return {index, record.generation, site, &ticket};
}

void thread_created(const ThreadBirth& birth, int error, pthread_t handle, uint16_t hook,
                    const unwind::Registers& from) {
  if (error) {
    if (error == EAGAIN && enter(Kind::thread)) note_failure(Kind::thread, hook, error, from);
    if (!birth.ticket) return;
    auto& ticket = *static_cast<Ticket*>(birth.ticket);
    if (ticket.state) give_state_back(ticket.state);
    if (ticket.uncounted.exchange(0, std::memory_order_acq_rel))
      flag(record_at(birth.record), ledger::kThreadIgnored);  // there is nothing to take back
    return release_record(birth.record, birth.generation);
  }
  if (!birth.ticket) return;
  count_started(birth.record, birth.generation, birth.site);
  bind_handle(birth.record, birth.generation, static_cast<uint64_t>(handle));
}

void* thread_main(void* ticket) {
  ThreadStart start = begin_thread(ticket);
  return start.routine(start.argument);
}

int c11_thread_main(void* ticket) {
  ThreadStart start = begin_thread(ticket);
  return start.c11_routine(start.argument);
}

uint64_t thread_lookup(pthread_t handle) {
  uint32_t index = enter(Kind::thread) ? find_record(static_cast<uint64_t>(handle)) : kNone;
  return index == kNone ? 0 : lookup_value(index);
}

void thread_joined(uint64_t looked_up) {
  if (!looked_up || !enter(Kind::thread)) return;
  release_record(static_cast<uint32_t>(looked_up) - 1, static_cast<uint32_t>(looked_up >> 32));
}

void thread_detached(uint64_t looked_up) {
  if (!looked_up || !enter(Kind::thread)) return;
  auto index = static_cast<uint32_t>(looked_up) - 1;
  ThreadRecord& record = record_at(index);
  if (record.generation != looked_up >> 32) return;
  if (flag(record, ledger::kThreadDetached) & ledger::kThreadEnded)
    release_record(index, static_cast<uint32_t>(looked_up >> 32));
}

bool is_only_thread() {
  uint32_t running = 0;
  long directory = base::open_file("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (directory >= 0) {
    alignas(8) char buffer[512];
    base::each_numbered_entry(directory, buffer, [&](int) { return ++running < 2; });
    base::close_file(directory);
    return running == 1;
  }
  return is_only_known_thread();
}

bool is_only_known_thread() {
  uint32_t running = 0;
  if (!enter(Kind::thread)) return false;
  uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i)
    running += record_at(i).state.load(std::memory_order_acquire) == static_cast<uint32_t>(State::running);
  return running == 1;
}

// struct pthread (nptl/descr.h) has, unchanged from glibc 2.4 to 2.42: the result, eight bytes about scheduling, the
// start routine and its argument. The last two are known.
size_t thread_result_offset(uint64_t handle, size_t readable_bytes) {
  auto* words = reinterpret_cast<const uintptr_t*>(handle);
  auto tickets = reinterpret_cast<uintptr_t>(g_tickets);
  uintptr_t ticket_bytes = g_tracker.writer.section(SectionId::threads).capacity * sizeof(Ticket);
  constexpr size_t kFromResult = 2;
  for (size_t at = kFromResult; (at + 2) * sizeof(uintptr_t) <= readable_bytes; ++at)
    if (words[at] == reinterpret_cast<uintptr_t>(&thread_main) && words[at + 1] - tickets < ticket_bytes)
      return (at - kFromResult) * sizeof(uintptr_t);
  return 0;
}

bool thread_ignore(pthread_t handle) {
  uint32_t index = enter(Kind::thread) ? find_record(static_cast<uint64_t>(handle)) : kNone;
  if (index == kNone) return false;
  stop_counting(record_at(index));
  return true;
}

void thread_live_since(uint32_t serial, LiveSince& out) {
  uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    ThreadRecord& record = record_at(i);
    uint32_t flags = record.flags.load(std::memory_order_relaxed);
    if (record.state.load(std::memory_order_acquire) == static_cast<uint32_t>(State::free)) continue;
    if (flags & (ledger::kThreadDetached | ledger::kThreadIgnored | ledger::kThreadMain)) continue;
    if (static_cast<int32_t>(record.serial - serial) > 0) out.add(record.site);
  }
}

namespace {
/// Makes the key whose destructor is called when a thread ends. False if it is not there (yet): another thread is
/// making it, or threads came to the process with a library that was not loaded yet.
bool has_key() {
  if (g_key_state.load(std::memory_order_acquire) == Key::made) return true;
  Key none = Key::none;
  if (!g_pthread_key_create.get() || !g_pthread_setspecific.get() ||
      !g_key_state.compare_exchange_strong(none, Key::under_way, std::memory_order_relaxed))
    return false;
  bool is_made = g_pthread_key_create.get()(&g_key, thread_ending) == 0;
  g_key_state.store(is_made ? Key::made : Key::none, std::memory_order_release);
  note_late_parts_of_libc();
  return is_made;
}

void enter_main_thread() {
  // A process may be attached to by way of any of its threads.
  bool is_main = base::current_tid() == base::current_pid();
  g_tracker.main_thread = is_main ? static_cast<uintptr_t>(pthread_self()) : 0;
  uint32_t index = take_record();
  if (index == kNone) return;
  ThreadRecord& record = record_at(index);
  record.tid = base::current_pid();
  record.site = 0;
  record.stack_low = g_tracker.main_stack_high - g_tracker.main_stack_bytes;
  record.stack_high = g_tracker.main_stack_high;
  record.started_ns = base::monotonic_ns();
  record.flags.store(ledger::kThreadMain, std::memory_order_relaxed);
  record.state.store(static_cast<uint32_t>(State::running), std::memory_order_release);
}
}  // namespace

bool prepare_threads() {
  uint64_t capacity = g_tracker.writer.section(SectionId::threads).capacity;
  bool has_tickets = g_ticket_memory.prepare(capacity * sizeof(Ticket));
  g_tickets = static_cast<Ticket*>(g_ticket_memory.start());
  bool can_watch = has_key() || !g_pthread_key_create.get();
  enter_main_thread();
  return can_watch && has_tickets;
}

size_t stack_bytes_of(const pthread_attr_t& attributes) {
  size_t bytes = 0;
  if (g_pthread_attr_getstacksize.get()) g_pthread_attr_getstacksize.get()(&attributes, &bytes);
  return bytes;
}

size_t default_stack_bytes() {
  // Without libpthread, pthread_attr_init has nothing to do.
  pthread_attr_t defaults{};
  pthread_attr_init(&defaults);
  size_t bytes = stack_bytes_of(defaults);
  pthread_attr_destroy(&defaults);
  return bytes ? bytes : g_tracker.main_stack_bytes;
}

void watch_thread_end() {
  if (has_key()) g_pthread_setspecific.get()(g_key, reinterpret_cast<void*>(uintptr_t{1}));
}

void reset_threads_after_fork() {
  g_ticket_memory.reset_lock_after_fork();
  g_free.reset();
  if (t_local.state) t_local.state->record = -1;
  enter_main_thread();
}

}  // namespace unfreed::track
