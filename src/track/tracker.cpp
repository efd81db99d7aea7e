#include "track/tracker.h"

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::track {

constinit Tracker g_tracker{};

constinit ForkPage g_fork_page{};

namespace {
ForkHandler g_fork_handler;
/// Outlives a fork, so that no generation comes twice.
constinit std::atomic<uint32_t> g_last_generation{0};
}  // namespace

void forget_remembered_stacks() {
  uint32_t next = g_last_generation.fetch_add(1, std::memory_order_relaxed) + 1;
  g_fork_page.generation.store(next, std::memory_order_release);
}

bool prepare_fork_page() {
  g_fork_page.alive.store(1, std::memory_order_relaxed);
  forget_remembered_stacks();
  return base::zero_in_fork_children(&g_fork_page, sizeof g_fork_page);
}

void set_fork_handler(ForkHandler handler) { g_fork_handler = handler; }

void adopt_fork() {
  base::SignalBlock block;  // a handler on this thread would wait for itself
  // The first thread that comes here takes the child over; others (which the child has already made) wait for it. The
  // lock lies in the wiped page, so it is free after the fork.
  while (g_fork_page.lock.exchange(1, std::memory_order_acquire)) {
    if (g_fork_page.alive.load(std::memory_order_acquire)) return;
    base::raw_syscall(SYS_sched_yield);
  }
  if (!g_fork_page.alive.load(std::memory_order_acquire)) {
    if (g_fork_handler) g_fork_handler();
    forget_remembered_stacks();
    g_fork_page.alive.store(1, std::memory_order_release);
  }
  g_fork_page.lock.store(0, std::memory_order_release);
}

void cover_partly(ledger::Kind kind, std::string_view reason) {
  ledger::Header& header = g_tracker.writer.header();
  auto index = static_cast<size_t>(kind);
  if (header.coverage[index] != static_cast<uint8_t>(ledger::Coverage::exact)) return;
  header.coverage_reason[index] = g_tracker.writer.add_text(reason);
  header.coverage[index] = static_cast<uint8_t>(ledger::Coverage::partial);
}

}  // namespace unfreed::track
