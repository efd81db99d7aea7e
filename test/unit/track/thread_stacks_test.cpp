// Where the threads of a process are blocked: those that wait, by their frames; one that runs has no such stack.
#include "track/thread_stacks.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "kernel/kernel_tasks.h"
#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::KernelTask;
using ledger::SectionId;
using ledger::ThreadRecord;

[[gnu::noinline]] void wait_in_read(int from) {
  char byte;
  [[maybe_unused]] ssize_t bytes = read(from, &byte, 1);
  asm volatile("" : : : "memory");
}

void wait_until_it_sleeps(int tid) {
  char path[64], state = 0;
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  while (state != 'S') {
    FILE* file = fopen(path, "r");
    ASSERT_NE(file, nullptr);
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 0;
    fclose(file);
  }
}

/// A thread that waits in a read, or never waits, until the test ends it.
class Thread {
 public:
  enum class Does { waits, runs };
  enum class Known { yes, no };
  explicit Thread(Does does, Known known = Known::yes) : does_(does) {
    if (pipe(ends_) != 0) std::abort();
    ThreadStart start;
    start.routine = [](void* argument) -> void* {
      auto& self = *static_cast<Thread*>(argument);
      self.tid_ = base::current_tid();
      if (self.does_ == Does::waits) wait_in_read(self.ends_[0]);
      while (!self.may_end_) asm volatile("" : : : "memory");
      return nullptr;
    };
    start.argument = this;
    if (known == Known::yes) birth_ = thread_creating(start, 0, false, 1, unwind::caller_registers());
    int error = pthread_create(&handle_, nullptr, birth_.ticket ? thread_main : start.routine,
                               birth_.ticket ? birth_.ticket : start.argument);
    if (known == Known::yes) thread_created(birth_, error, handle_, 1, unwind::caller_registers());
    while (!tid_) sched_yield();
    if (does == Does::waits) wait_until_it_sleeps(tid_);
  }
  ~Thread() {
    may_end_ = true;
    [[maybe_unused]] ssize_t bytes = write(ends_[1], "", 1);
    uint64_t found = birth_.ticket ? thread_lookup(handle_) : 0;
    pthread_join(handle_, nullptr);
    if (birth_.ticket) thread_joined(found);
    close(ends_[0]);
    close(ends_[1]);
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  int tid() const { return tid_; }
  ThreadRecord& record() const {
    return test::TrackedProcess::the().record<ThreadRecord>(SectionId::threads, birth_.record);
  }

 private:
  Does does_;
  std::atomic<bool> may_end_{false};
  std::atomic<int> tid_{0};
  pthread_t handle_ = 0;
  int ends_[2];
  ThreadBirth birth_;
};

class ThreadStacks : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "threads wait in the sanitizer's functions";
#endif
  }

  /// Is a frame of the stack that ends in `node` in this function? (It is a small one.)
  template <class Function>
  bool leads_through(uint32_t node, Function* function) {
    unwind::Object program{};
    auto begin = reinterpret_cast<uintptr_t>(function);
    if (!unwind::find_object(begin, program)) return false;
    uint32_t module = module_number(program);
    constexpr uint64_t kMostBytes = 128;
    uint64_t offset = begin - program.bias;
    for (; node; node = frame(node).parent)
      if ((frame(node).module & ledger::kNodeModuleMask) == module && frame(node).offset - offset < kMostBytes)
        return true;
    return false;
  }
  const ledger::Node& frame(uint32_t node) { return process_.record<ledger::Node>(SectionId::nodes, node); }

  KernelTask* listed(int tid) {
    for (uint64_t i = 0; i < process_.count(SectionId::kernel_tasks); ++i) {
      auto& task = process_.record<KernelTask>(SectionId::kernel_tasks, i);
      if (task.id == tid) return &task;
    }
    return nullptr;
  }
  void list_threads() { report::take_kernel_tasks(g_tracker.writer, 0); }

  [[gnu::noinline]] void take_from_here() {
    take_thread_stacks(unwind::caller_registers());
    asm volatile("" : : : "memory");
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ThreadStacks, AThreadThatWaitsHasTheStackOfItsWait) {
  Thread waiting(Thread::Does::waits), running(Thread::Does::runs);
  take_from_here();
  EXPECT_TRUE(leads_through(waiting.record().current_node, wait_in_read));
  EXPECT_NE(waiting.record().current_ns, 0u);
  EXPECT_FALSE(waiting.record().current_truncated);
  EXPECT_EQ(running.record().current_ns, 0u) << "it waits nowhere";
  EXPECT_EQ(running.record().current_node, 0u);
}

TEST_F(ThreadStacks, TheCallersOwnBeginsAtItsCall) {
  auto& main = process_.record<ThreadRecord>(SectionId::threads, 0);
  ASSERT_EQ(main.tid, base::current_tid());
  take_from_here();
  EXPECT_NE(main.current_ns, 0u);
  EXPECT_NE(main.current_node, 0u);
  EXPECT_FALSE(leads_through(main.current_node, wait_in_read));
}

TEST_F(ThreadStacks, ThoseThatAreMissingAreAddedAndNoOthers) {
  Thread one(Thread::Does::waits), other(Thread::Does::waits);
  take_from_here();
  uint64_t taken_ns = one.record().current_ns;
  ASSERT_NE(taken_ns, 0u);
  other.record().current_ns = 0;
  other.record().current_node = 0;
  take_missing_thread_stacks(0);
  EXPECT_EQ(one.record().current_ns, taken_ns);
  EXPECT_GT(other.record().current_ns, taken_ns);
  EXPECT_TRUE(leads_through(other.record().current_node, wait_in_read));
}

TEST_F(ThreadStacks, AStackIsForgottenWhenItsThreadRunsAgain) {
  Thread one(Thread::Does::runs);
  one.record().current_ns = 1;
  take_from_here();
  EXPECT_EQ(one.record().current_ns, 0u);
}

TEST_F(ThreadStacks, AThreadThatNoHookHasSeenHasOneToo) {
  Thread known(Thread::Does::waits), unknown(Thread::Does::waits, Thread::Known::no);
  list_threads();
  take_unlisted_thread_stacks(0);
  ASSERT_TRUE(listed(unknown.tid()) && listed(known.tid()));
  EXPECT_TRUE(leads_through(listed(unknown.tid())->node, wait_in_read));
  EXPECT_FALSE(listed(unknown.tid())->flags & ledger::kTaskLibc);
  EXPECT_EQ(listed(known.tid())->node, 0u) << "its record has it";
}

TEST_F(ThreadStacks, AThreadOfLibcsIsRecognised) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = [](sigval) {};
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  list_threads();
  for (uint64_t i = 0; i < process_.count(SectionId::kernel_tasks); ++i) {
    int tid = process_.record<KernelTask>(SectionId::kernel_tasks, i).id;
    if (tid != base::current_tid()) wait_until_it_sleeps(tid);
  }
  take_unlisted_thread_stacks(0);
  size_t of_libc = 0;
  for (uint64_t i = 0; i < process_.count(SectionId::kernel_tasks); ++i)
    of_libc += (process_.record<KernelTask>(SectionId::kernel_tasks, i).flags & ledger::kTaskLibc) != 0;
  timer_delete(timer);
  EXPECT_EQ(of_libc, 1u);
}

}  // namespace
}  // namespace unfreed::track
