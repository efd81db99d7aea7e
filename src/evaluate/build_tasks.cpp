// Threads with what they hold, and children.
#include <algorithm>

#include "evaluate/build.h"

namespace unfreed::report {

namespace {

/// Threads, children, and descriptors of one thread that are listed.
constexpr uint32_t kMostTasks = 256;
constexpr uint32_t kMostHeld = 32;

Text class_name(const EvaluatedThread& thread) {
  if (thread.main) return "main";
  if (thread.libc) return "libc";
  if (thread.is_unattributed()) return "unattributed";
  if (thread.ignored) return "ignored";
  if (thread.finished) return "finished";
  return thread.detached ? "detached" : "joinable";
}

void describe_holdings(Build& build, const EvaluatedThread& thread, Holdings& out) {
  out.fd = thread.fds;
  out.heap = thread.heap_blocks;
  out.heap_bytes = thread.heap_bytes;
  for (uint32_t at = 0; at < thread.fds && at < kMostHeld; ++at) {
    const EvaluatedFd& fd = build.evaluation.fds[build.evaluation.fds_by_thread[thread.first_fd + at]];
    Object* object = out.descriptors.add(build.arena);
    if (!object) break;
    describe_held(build, fd, *object);
  }
  out.descriptors_omitted = thread.fds - out.descriptors.size();
}

void describe_thread(Build& build, const EvaluatedThread& thread, Thread& out) {
  const ledger::View& view = build.view();
  out.thread = thread.tid;
  out.name = build.arena.copy(name_of(thread.name));
  out.thread_class = class_name(thread);
  out.state = thread.finished ? "finished" : "running";
  const ledger::KernelTask* task = thread.kernel == kNoIndex ? nullptr : view.kernel_task(thread.kernel);
  // "R", "S" … as /proc has it.
  if (task && task->state > ' ' && task->state < 127) out.kernel_state = build.arena.copy({&task->state, 1});
  out.site = thread.site;
  if (thread.creator_tid != 0) out.created_by = thread.creator_tid;
  if (thread.started_ns != 0) out.age_ns = build.age_ns(thread.started_ns);
  if (thread.finished) out.finished_ago_ns = build.age_ns(thread.finished_ns);
  out.start_routine = build.stacks.function_at(thread.start_module, thread.start_offset);
  const ledger::ThreadRecord* record = thread.is_unattributed() ? nullptr : view.thread(thread.record);
  if (record && !thread.finished && record->current_ns != 0) {
    bool cut = false;
    out.stack = build.stacks.stack(record->current_node, cut);
    out.truncated = cut || record->current_truncated != 0;
  } else if (thread.is_unattributed() && task && task->node) {
    bool cut = false;
    out.stack = build.stacks.stack(task->node, cut);
    out.truncated = cut || (task->flags & ledger::kTaskTruncated);
  }
  describe_holdings(build, thread, out.holds);
}

/// Those that hold most first; the main thread last, as every process has one.
bool comes_before(const EvaluatedThread& left, const EvaluatedThread& right) {
  if (left.main != right.main) return right.main;
  if (left.fds != right.fds) return left.fds > right.fds;
  if (left.heap_bytes != right.heap_bytes) return left.heap_bytes > right.heap_bytes;
  return left.started_ns != right.started_ns ? left.started_ns < right.started_ns : left.tid < right.tid;
}

}  // namespace

void describe_held(Build& build, const EvaluatedFd& fd, Object& out) {
  out.fd = fd.fd;
  describe_target(build, fd, out.target, out.flags);
  out.age_ns = build.age_ns(fd.acquired_ns);
  out.site = fd.site;
}

Text text_of(const char* text, size_t room) {
  size_t length = 0;
  while (length < room && text[length] != '\0') ++length;
  return {text, length};
}

Text name_of(const char (&name)[16]) { return text_of(name, sizeof name); }

void build_threads(Build& build) {
  std::span<const EvaluatedThread> threads = build.evaluation.threads;
  std::span<const EvaluatedThread*> order = build.arena.take_array<const EvaluatedThread*>(threads.size());
  for (size_t at = 0; at < order.size(); ++at) order[at] = &threads[at];
  std::sort(order.begin(), order.end(), [](const EvaluatedThread* left, const EvaluatedThread* right) {
    if (comes_before(*left, *right) != comes_before(*right, *left)) return comes_before(*left, *right);
    return left < right;
  });
  List<Thread>& out = build.out.threads;
  for (const EvaluatedThread* one : order) {
    Thread* thread = out.size() < kMostTasks ? out.add(build.arena) : nullptr;
    if (!thread) break;
    describe_thread(build, *one, *thread);
  }
  build.out.threads_omitted = threads.size() - out.size();
}

Text state_of(const EvaluatedChild& child) {
  switch (child.child_class) {
    case ChildClass::zombie:
      return "zombie";
    case ChildClass::running:
      return "running";
    case ChildClass::unknown:
      return "unknown";
    case ChildClass::reaped_unseen:
      return "gone";
  }
  return "unknown";
}

namespace {
Text task_name(const Build& build, const EvaluatedChild& child) {
  const ledger::KernelTask* task = child.kernel == kNoIndex ? nullptr : build.view().kernel_task(child.kernel);
  return task ? build.arena.copy(name_of(task->name)) : Text();
}

/// What Object and Child have in common.
template <class Out>
void describe(const Build& build, const EvaluatedChild& child, Out& out) {
  out.process = child.pid;
  out.name = task_name(build, child);
  out.state = state_of(child);
  if (child.creator_tid != 0) out.thread = child.creator_tid;
  if (child.started_ns != 0) out.age_ns = build.age_ns(child.started_ns);
}
}  // namespace

void describe_child(Build& build, const EvaluatedChild& child, Object& out) { describe(build, child, out); }

void build_children(Build& build) {
  for (const EvaluatedChild& child : build.evaluation.children) {
    bool belongs_to_site = child.site != 0 && !child.ignored && child.child_class != ChildClass::reaped_unseen;
    if (belongs_to_site) continue;
    Child* one = build.out.children.size() < kMostTasks ? build.out.children.add(build.arena) : nullptr;
    if (!one) {
      ++build.out.children_omitted;
      continue;
    }
    one->origin = child.child_class == ChildClass::reaped_unseen ? "reaped_unseen"
                  : child.inherited                              ? "inherited"
                  : child.ignored                                ? "ignored"
                  : child.adopted                                ? "adopted"
                                                                 : "unattributed";
    describe(build, child, *one);
  }
}

}  // namespace unfreed::report
