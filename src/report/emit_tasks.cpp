// Threads with what they hold, and children.
#include <algorithm>

#include "report/emit.h"

namespace unfreed::report {

namespace {

/// Threads, children, and descriptors of one thread that are listed.
constexpr uint32_t kMostTasks = 256;
constexpr uint32_t kMostHeld = 32;

std::string_view class_name(const GradedThread& thread) {
  if (thread.main) return "main";
  if (thread.is_unattributed()) return "unattributed";
  if (thread.ignored) return "ignored";
  if (thread.finished) return "finished";
  return thread.detached ? "detached" : "joinable";
}

std::string_view name_of(const char (&name)[16]) {
  size_t length = 0;
  while (length < sizeof name && name[length] != '\0') ++length;
  return {name, length};
}

/// "R", "S" … as /proc has it.
void emit_kernel_state(JsonText& json, const ledger::KernelTask* task) {
  if (task && task->state > ' ' && task->state < 127) json.member("kernel_state", std::string_view(&task->state, 1));
}

void emit_held_fd(Emission& emission, const GradedFd& fd) {
  JsonText& json = emission.json;
  json.begin_object(Layout::compact);
  json.member("fd", fd.fd);
  emit_target(emission, fd);
  json.member("age_ns", emission.age_ns(fd.acquired_ns));
  if (fd.site != 0) json.member("site", fd.site);
  json.end_object();
}

void emit_holdings(Emission& emission, const GradedThread& thread) {
  JsonText& json = emission.json;
  json.key("holds").begin_object();
  json.member("fd", thread.fds);
  json.member("heap", thread.heap_blocks);
  json.member("heap_bytes", thread.heap_bytes);
  json.key("descriptors").begin_array();
  for (uint32_t at = 0; at < thread.fds && at < kMostHeld; ++at)
    emit_held_fd(emission, emission.graded.fds[emission.graded.fds_by_thread[thread.first_fd + at]]);
  json.end_array();
  if (thread.fds > kMostHeld) json.member("descriptors_omitted", thread.fds - kMostHeld);
  json.end_object();
}

void emit_thread(Emission& emission, const GradedThread& thread) {
  JsonText& json = emission.json;
  const ledger::View& view = emission.view();
  json.begin_object();
  json.member("thread", thread.tid);
  if (std::string_view name = name_of(thread.name); !name.empty()) json.member("name", name);
  json.member("class", class_name(thread));
  json.member("state", thread.finished ? "finished" : "running");
  emit_kernel_state(json, thread.kernel == kNoIndex ? nullptr : view.kernel_task(thread.kernel));
  if (thread.site != 0) json.member("site", thread.site);
  if (thread.creator_tid != 0) json.member("created_by", thread.creator_tid);
  if (thread.started_ns != 0) json.member("age_ns", emission.age_ns(thread.started_ns));
  if (thread.finished) json.member("finished_ago_ns", emission.age_ns(thread.finished_ns));
  if (thread.start_module != 0 || thread.start_offset != 0) {
    json.key("start_routine");
    emit_frame(emission, {0, thread.start_module | ledger::kNodeExactPc, thread.start_offset});
  }
  const ledger::ThreadRecord* record = thread.is_unattributed() ? nullptr : view.thread(thread.record);
  if (record && !thread.finished && record->current_ns != 0) {
    bool cut = emit_stack(emission, record->current_node);
    json.member("truncated", cut || record->current_truncated != 0);
  }
  emit_holdings(emission, thread);
  json.end_object();
}

/// Those that keep most from being released first, the main thread last: it is everybody's.
bool comes_before(const GradedThread& left, const GradedThread& right) {
  if (left.main != right.main) return right.main;
  if (left.fds != right.fds) return left.fds > right.fds;
  if (left.heap_bytes != right.heap_bytes) return left.heap_bytes > right.heap_bytes;
  return left.started_ns != right.started_ns ? left.started_ns < right.started_ns : left.tid < right.tid;
}

std::string_view state_name(ChildClass child_class) {
  switch (child_class) {
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

}  // namespace

void emit_threads(Emission& emission) {
  JsonText& json = emission.json;
  json.key("threads").begin_array();
  std::span<const GradedThread> threads = emission.graded.threads;
  // The worst few of any number, without memory to sort them in: each is the first that comes after the one before.
  const GradedThread* last = nullptr;
  uint32_t shown = 0;
  for (; shown < kMostTasks && shown < threads.size() && !json.failed(); ++shown) {
    const GradedThread* next = nullptr;
    for (const GradedThread& one : threads) {
      bool is_due = !last || comes_before(*last, one) || (!comes_before(one, *last) && &one > last);
      if (&one != last && is_due && (!next || comes_before(one, *next))) next = &one;
    }
    if (!next) break;
    emit_thread(emission, *next);
    last = next;
  }
  json.end_array();
  if (shown < threads.size()) json.member("threads_omitted", uint64_t{threads.size() - shown});
}

void emit_child(Emission& emission, const GradedChild& child) {
  JsonText& json = emission.json;
  const ledger::KernelTask* task = child.kernel == kNoIndex ? nullptr : emission.view().kernel_task(child.kernel);
  json.member("process", child.pid);
  if (task)
    if (std::string_view name = name_of(task->name); !name.empty()) json.member("name", name);
  json.member("state", state_name(child.child_class));
  if (child.creator_tid != 0) json.member("thread", child.creator_tid);
  if (child.started_ns != 0) json.member("age_ns", emission.age_ns(child.started_ns));
}

void emit_children(Emission& emission) {
  JsonText& json = emission.json;
  json.key("children").begin_array();
  uint32_t shown = 0;
  for (const GradedChild& child : emission.graded.children) {
    bool belongs_to_site = child.site != 0 && !child.ignored && child.child_class != ChildClass::reaped_unseen;
    if (belongs_to_site || shown++ >= kMostTasks) continue;
    json.begin_object(Layout::compact);
    json.member("origin", child.child_class == ChildClass::reaped_unseen ? "reaped_unseen"
                          : child.inherited                              ? "inherited"
                          : child.ignored                                ? "ignored"
                                                                         : "unattributed");
    emit_child(emission, child);
    json.end_object();
  }
  json.end_array();
  if (shown > kMostTasks) json.member("children_omitted", shown - kMostTasks);
}

}  // namespace unfreed::report
