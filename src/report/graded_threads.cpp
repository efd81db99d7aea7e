#include <algorithm>
#include <cstring>

#include "report/graded.h"

namespace unfreed::report {

namespace {

using ledger::ThreadState;

/// Copies what a report says of a thread. False for slots that stand for none, and for the main thread.
bool read_thread(const Graded& graded, const ledger::ThreadRecord& record, GradedThread& out) {
  uint32_t state = record.state.load(std::memory_order_acquire);
  uint32_t flags = record.flags.load(std::memory_order_relaxed);
  bool finished = state == static_cast<uint32_t>(ThreadState::finished);
  if (!finished && state != static_cast<uint32_t>(ThreadState::running)) return false;
  if (flags & ledger::kThreadMain) return false;
  bool detached = flags & ledger::kThreadDetached;
  if (finished && detached) return false;
  out = GradedThread{};
  out.finished = finished;
  out.detached = detached;
  out.ignored = flags & ledger::kThreadIgnored;
  bool known = record.site < graded.sites.size() && graded.sites[record.site].valid &&
               graded.sites[record.site].kind == ledger::Kind::thread;
  out.site = known ? record.site : 0;
  out.serial = record.serial;
  out.tid = record.tid;
  out.creator_tid = record.creator_tid;
  out.started_ns = record.started_ns;
  out.finished_ns = record.finished_ns;
  out.start_module = record.start_module;
  out.start_offset = record.start_module_offset;
  std::memcpy(out.name, record.name, sizeof out.name);
  return true;
}

void total(Graded& graded) {
  ThreadTotals& totals = graded.thread;
  for (const GradedThread& thread : graded.threads) {
    if (thread.ignored)
      ++totals.ignored;
    else if (thread.site != 0 && graded.sites[thread.site].libc)
      ++totals.libc;
    else if (thread.finished)
      ++totals.live;
    else {
      ++totals.running;
      if (thread.detached) ++totals.detached;
    }
  }
}

uint32_t object_site(const GradedThread& thread) { return thread.ignored ? 0 : thread.site; }

}  // namespace

void grade_threads(Scratch& scratch, Graded& graded) {
  std::span<GradedThread> threads = scratch.take<GradedThread>(graded.view->thread_count());
  size_t count = 0;
  for (uint32_t index = 0; index < threads.size(); ++index) {
    const ledger::ThreadRecord* record = graded.view->thread(index);
    if (record && read_thread(graded, *record, threads[count])) ++count;
  }
  graded.threads = threads.first(count);
  total(graded);
  std::sort(graded.threads.begin(), graded.threads.end(), [](const GradedThread& left, const GradedThread& right) {
    if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
    // The leaked ones first: they are what the list of a site's threads is for.
    if (left.finished != right.finished) return left.finished;
    return left.serial != right.serial ? left.serial < right.serial : left.tid < right.tid;
  });
  for (uint32_t index = 0; index < graded.threads.size(); ++index) {
    const GradedThread& thread = graded.threads[index];
    uint32_t owner = object_site(thread);
    if (owner == 0) continue;
    GradedSite& site = graded.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    if (thread.finished)
      ++site.live;
    else
      ++site.running;
  }
}

}  // namespace unfreed::report
