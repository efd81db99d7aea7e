#include <algorithm>
#include <cstring>

#include "evaluate/evaluation.h"

namespace unfreed::report {

namespace {

using ledger::ThreadState;

/// Copies what a report says of a thread. False for empty slots.
bool read_thread(const Evaluation& evaluation, const ledger::ThreadRecord& record, EvaluatedThread& out) {
  uint32_t state = record.state.load(std::memory_order_acquire);
  uint32_t flags = record.flags.load(std::memory_order_relaxed);
  bool finished = state == static_cast<uint32_t>(ThreadState::finished);
  if (!finished && state != static_cast<uint32_t>(ThreadState::running)) return false;
  bool detached = flags & ledger::kThreadDetached;
  if (finished && detached) return false;
  out = EvaluatedThread{};
  out.main = flags & ledger::kThreadMain;
  out.heap_blocks = record.heap_blocks;
  out.heap_bytes = record.heap_bytes;
  out.finished = finished;
  out.lost = evaluation.graded && flags & ledger::kThreadLost;
  out.detached = detached;
  out.ignored = flags & ledger::kThreadIgnored;
  bool known = record.site < evaluation.sites.size() && evaluation.sites[record.site].valid &&
               evaluation.sites[record.site].kind == ledger::Kind::thread;
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

Counter counter_of(const EvaluatedThread& thread, const Evaluation& evaluation) {
  if (thread.libc) return Counter::libc;
  if (thread.is_unattributed()) return Counter::unattributed;
  if (thread.ignored) return Counter::ignored;
  if (thread.site != 0 && evaluation.sites[thread.site].libc) return Counter::libc;
  return thread.finished ? Counter::live : Counter::running;
}

void total(Evaluation& evaluation) {
  Totals& totals = evaluation.of(Subject::thread);
  for (const EvaluatedThread& thread : evaluation.threads) {
    if (thread.main) continue;
    Counter counter = counter_of(thread, evaluation);
    ++totals[counter];
    if (counter == Counter::running && thread.detached) ++totals[Counter::detached_running];
  }
}

uint32_t object_site(const EvaluatedThread& thread) { return thread.ignored ? 0 : thread.site; }

/// Joins the table with the kernel's list: a running thread of the table that is not on the list has ended unseen (or
/// just now); one that is on the list only was started through no hooked function.
size_t reconcile(Evaluation& evaluation, std::span<ListedTask> list, std::span<EvaluatedThread> out) {
  size_t count = 0;
  for (uint32_t index = 0; index < evaluation.view->thread_count() && count < out.size(); ++index) {
    const ledger::ThreadRecord* record = evaluation.view->thread(index);
    EvaluatedThread& thread = out[count];
    if (!record || !read_thread(evaluation, *record, thread)) continue;
    ListedTask* listed = thread.finished ? nullptr : find_listed(list, thread.tid);
    thread.record = index;
    thread.kernel = listed ? listed->index : kNoIndex;
    if (listed) {
      listed->found = true;
      if (const ledger::KernelTask* task = evaluation.view->kernel_task(listed->index))
        std::memcpy(thread.name, task->name, sizeof thread.name);
    }
    bool is_later = thread.started_ns > evaluation.view->header().reconciled_monotonic_ns || thread.tid == 0;
    if (evaluation.threads_listed && !thread.finished && !listed && !is_later) continue;
    ++count;
  }
  for (const ListedTask& one : list) {
    if (one.found || count == out.size()) continue;
    const ledger::KernelTask* task = evaluation.view->kernel_task(one.index);
    EvaluatedThread& thread = out[count++];
    thread = EvaluatedThread{};
    thread.record = kNoIndex;
    thread.kernel = one.index;
    thread.tid = one.id;
    thread.main = one.id == evaluation.view->header().main_tid;
    if (!task) continue;
    thread.libc = task->flags & ledger::kTaskLibc;
    std::memcpy(thread.name, task->name, sizeof thread.name);
  }
  return count;
}

}  // namespace

std::span<ListedTask> list_kernel_tasks(base::Arena& arena, const Evaluation& evaluation, bool children) {
  bool is_listed = children || evaluation.threads_listed;
  std::span<ListedTask> list = arena.take_array<ListedTask>(is_listed ? evaluation.view->kernel_task_count() : 0);
  size_t count = 0;
  for (uint32_t index = 0; index < list.size(); ++index) {
    const ledger::KernelTask* task = evaluation.view->kernel_task(index);
    if (task && (task->is_child != 0) == children) list[count++] = {task->id, index, false};
  }
  list = list.first(count);
  std::sort(list.begin(), list.end(),
            [](const ListedTask& left, const ListedTask& right) { return left.id < right.id; });
  // A forged list may hold anything.
  auto same = [](const ListedTask& left, const ListedTask& right) { return left.id == right.id; };
  return list.first(static_cast<size_t>(std::unique(list.begin(), list.end(), same) - list.begin()));
}

ListedTask* find_listed(std::span<ListedTask> list, int32_t id) {
  auto at = std::lower_bound(list.begin(), list.end(), id,
                             [](const ListedTask& one, int32_t wanted) { return one.id < wanted; });
  return at != list.end() && at->id == id ? &*at : nullptr;
}

void evaluate_threads(base::Arena& arena, Evaluation& evaluation) {
  if (coverage_of(*evaluation.view, ledger::Kind::thread) == ledger::Coverage::off) return;
  std::span<ListedTask> list = list_kernel_tasks(arena, evaluation, false);
  std::span<EvaluatedThread> threads =
      arena.take_array<EvaluatedThread>(size_t{evaluation.view->thread_count()} + list.size());
  evaluation.threads = threads.first(reconcile(evaluation, list, threads));
  total(evaluation);
  std::sort(evaluation.threads.begin(), evaluation.threads.end(),
            [](const EvaluatedThread& left, const EvaluatedThread& right) {
              if (object_site(left) != object_site(right)) return object_site(left) < object_site(right);
              // The leaked ones first: they are what the list of a site's threads is for.
              if (left.finished != right.finished) return left.finished;
              return left.serial != right.serial ? left.serial < right.serial : left.tid < right.tid;
            });
  for (uint32_t index = 0; index < evaluation.threads.size(); ++index) {
    const EvaluatedThread& thread = evaluation.threads[index];
    uint32_t owner = object_site(thread);
    if (owner == 0) continue;
    EvaluatedSite& site = evaluation.sites[owner];
    if (site.objects++ == 0) site.first_object = index;
    if (thread.finished)
      ++site.live;
    else
      ++site.running;
  }
}

namespace {

/// Indexes of the threads that run, in order of their numbers.
std::span<uint32_t> running_by_number(base::Arena& arena, const Evaluation& evaluation) {
  std::span<uint32_t> order = arena.take_array<uint32_t>(evaluation.threads.size());
  size_t count = 0;
  for (uint32_t index = 0; index < order.size(); ++index)
    if (!evaluation.threads[index].finished && !evaluation.threads[index].is_unattributed()) order[count++] = index;
  order = order.first(count);
  std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
    return evaluation.threads[left].tid < evaluation.threads[right].tid;
  });
  return order;
}

/// The balance of a running thread is in its chunks, which are known by their owner's number.
void add_running_heap(base::Arena& arena, Evaluation& evaluation) {
  const ledger::View& view = *evaluation.view;
  std::span<uint32_t> order = running_by_number(arena, evaluation);
  for (uint32_t index = 0; index < view.chunk_count(); ++index) {
    const ledger::ChunkHead* head = view.chunk_head(index);
    const ledger::Chunk* chunk = view.chunk(index);
    if (!head || !chunk || !head->base.load(std::memory_order_acquire)) continue;
    auto at = std::lower_bound(order.begin(), order.end(), head->tid,
                               [&](uint32_t one, int32_t tid) { return evaluation.threads[one].tid < tid; });
    if (at == order.end() || evaluation.threads[*at].tid != head->tid) continue;
    EvaluatedThread& owner = evaluation.threads[*at];
    auto value = [](const std::atomic<uint64_t>& counter) {
      return static_cast<int64_t>(counter.load(std::memory_order_relaxed));
    };
    for (const ledger::Cell& cell : chunk->cells) {
      owner.heap_blocks =
          static_cast<int64_t>(static_cast<uint64_t>(owner.heap_blocks) + static_cast<uint64_t>(value(cell.acquired)) -
                               static_cast<uint64_t>(value(cell.released)));
      owner.heap_bytes = static_cast<int64_t>(static_cast<uint64_t>(owner.heap_bytes) +
                                              static_cast<uint64_t>(value(cell.acquired_bytes)) -
                                              static_cast<uint64_t>(value(cell.released_bytes)));
    }
  }
}

/// Held descriptors by the thread that acquired them, oldest first.
std::span<uint32_t> held_by_thread(base::Arena& arena, const Evaluation& evaluation) {
  std::span<uint32_t> order = arena.take_array<uint32_t>(evaluation.fds.size());
  size_t count = 0;
  for (uint32_t index = 0; index < order.size(); ++index)
    if (evaluation.fds[index].fd_class == FdClass::held) order[count++] = index;
  order = order.first(count);
  std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
    const EvaluatedFd& one = evaluation.fds[left];
    const EvaluatedFd& other = evaluation.fds[right];
    if (one.tid != other.tid) return one.tid < other.tid;
    return one.acquired_ns != other.acquired_ns ? one.acquired_ns < other.acquired_ns : one.fd < other.fd;
  });
  return order;
}

}  // namespace

void evaluate_holdings(base::Arena& arena, Evaluation& evaluation) {
  add_running_heap(arena, evaluation);
  std::span<uint32_t> order = held_by_thread(arena, evaluation);
  evaluation.fds_by_thread = order;
  for (EvaluatedThread& thread : evaluation.threads) {
    if (thread.is_unattributed()) continue;
    // Thread numbers are reused: only what was acquired in this one's lifetime is its own.
    auto first =
        std::lower_bound(order.begin(), order.end(), thread, [&](uint32_t index, const EvaluatedThread& wanted) {
          const EvaluatedFd& fd = evaluation.fds[index];
          if (static_cast<int32_t>(fd.tid) != wanted.tid) return static_cast<int32_t>(fd.tid) < wanted.tid;
          return fd.acquired_ns < wanted.started_ns;
        });
    thread.first_fd = static_cast<uint32_t>(first - order.begin());
    for (; first != order.end(); ++first, ++thread.fds) {
      const EvaluatedFd& fd = evaluation.fds[*first];
      if (static_cast<int32_t>(fd.tid) != thread.tid || (thread.finished && fd.acquired_ns > thread.finished_ns)) break;
    }
  }
}

}  // namespace unfreed::report
