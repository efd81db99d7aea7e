// Threads from the call that creates them to the join or detach that lets go of them.
#include "track/threads.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <vector>

#include "support/tracked_process.h"
#include "track/thread_ranges.h"

namespace unfreed::track {
namespace {

using ledger::Kind;
using ledger::SectionId;
using ledger::ThreadRecord;
using State = ledger::ThreadState;

/// A thread as the hooks create, join and detach it. It calls `run`, and goes on until it is told to end.
class Thread {
 public:
  explicit Thread(bool detached = false, const std::function<void()>& run = {}) : run_(run) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ThreadStart start;
    start.routine = [](void* argument) -> void* {
      auto& self = *static_cast<Thread*>(argument);
      prctl(PR_SET_NAME, "worker");
      if (self.run_) self.run_();
      self.tid_ = base::current_tid();
      while (!self.may_end_) sched_yield();
      return argument;
    };
    start.argument = this;
    birth_ = thread_creating(start, stack_bytes_of(attributes), detached, 1, unwind::caller_registers());
    int error = pthread_create(&handle_, &attributes, birth_.ticket ? thread_main : start.routine,
                               birth_.ticket ? birth_.ticket : start.argument);
    thread_created(birth_, error, handle_, 1, unwind::caller_registers());
    pthread_attr_destroy(&attributes);
    while (!tid_) sched_yield();
  }
  int tid() const { return tid_; }
  pthread_t handle() const { return handle_; }
  ThreadRecord& record() const {
    return test::TrackedProcess::the().record<ThreadRecord>(SectionId::threads, birth_.record);
  }
  State state() const { return static_cast<State>(record().state.load()); }
  void end() {
    may_end_ = true;
    while (state() == State::running) sched_yield();
  }
  void join() {
    may_end_ = true;
    uint64_t found = thread_lookup(handle_);
    pthread_join(handle_, nullptr);
    thread_joined(found);
  }
  void detach() {
    uint64_t found = thread_lookup(handle_);
    pthread_detach(handle_);
    thread_detached(found);
  }

 private:
  std::function<void()> run_;
  std::atomic<bool> may_end_{false};
  std::atomic<int> tid_{0};
  pthread_t handle_ = 0;
  ThreadBirth birth_;
};

class ThreadsTest : public ::testing::Test {
 protected:
  ~ThreadsTest() override { EXPECT_EQ(process_.held(Kind::thread), 0u); }
  static int64_t live_since(uint32_t serial) {
    LiveSince live;
    thread_live_since(serial, live);
    return live.total();
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ThreadsTest, OneIsHeldUntilItIsJoined) {
  uint32_t mark = g_tracker.serial;
  Thread one;
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  EXPECT_EQ(one.state(), State::running);
  EXPECT_EQ(one.record().tid, one.tid());
  EXPECT_EQ(one.record().creator_tid, base::current_tid());
  EXPECT_NE(one.record().site, 0u);
  EXPECT_NE(one.record().start_module, 0u);
  EXPECT_LT(one.record().stack_low, one.record().stack_high);
  EXPECT_EQ(live_since(mark), 1);
  EXPECT_EQ(live_since(g_tracker.serial), 0);
  one.end();
  EXPECT_EQ(one.state(), State::finished);
  EXPECT_STREQ(one.record().name, "worker");
  EXPECT_GE(one.record().finished_ns, one.record().started_ns);
  EXPECT_EQ(process_.held(Kind::thread), 1u) << "ended, and not joined";
  one.join();
  EXPECT_EQ(one.state(), State::free);
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(live_since(mark), 0);
  EXPECT_EQ(live_since(~0u), 0) << "the main thread was not created";
}

TEST_F(ThreadsTest, ADetachedOneIsHeldUntilItsEnd) {
  uint32_t mark = g_tracker.serial;
  Thread detached(true), later;
  EXPECT_EQ(process_.held(Kind::thread), 2u);
  EXPECT_EQ(live_since(mark), 1) << "nobody has to join the other";
  EXPECT_TRUE(detached.record().flags & ledger::kThreadDetached);
  detached.end();
  later.detach();
  EXPECT_EQ(later.state(), State::running);
  later.end();
  while (process_.held(Kind::thread)) sched_yield();
  EXPECT_EQ(detached.state(), State::free);
  EXPECT_EQ(later.state(), State::free);
}

TEST_F(ThreadsTest, OneThatHasEndedIsLetGoOfByDetachingIt) {
  Thread one;
  one.end();
  one.detach();
  EXPECT_EQ(one.state(), State::free);
}

/// A thread whose creator has not come back from pthread_create yet, as far as is known.
class EarlyThread {
 public:
  explicit EarlyThread(bool detached) {
    ThreadStart start;
    start.routine = [](void* argument) -> void* {
      auto& self = *static_cast<EarlyThread*>(argument);
      self.runs_ = true;
      while (!self.may_end_) sched_yield();
      return nullptr;
    };
    start.argument = this;
    birth_ = thread_creating(start, 0, detached, 1, unwind::caller_registers());
    pthread_create(&handle_, nullptr, thread_main, birth_.ticket);
    if (detached) pthread_detach(handle_);
    while (!runs_) sched_yield();
  }
  pthread_t handle() const { return handle_; }
  uint32_t record() const { return birth_.record; }
  void end() { may_end_ = true; }
  void creator_is_back(pthread_t handle) { thread_created(birth_, 0, handle, 1, unwind::caller_registers()); }

 private:
  std::atomic<bool> runs_{false}, may_end_{false};
  pthread_t handle_ = 0;
  ThreadBirth birth_;
};

TEST_F(ThreadsTest, OneIsHeldAndKnownAsSoonAsItRuns) {
  EarlyThread one(false);
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  uint64_t found = thread_lookup(one.handle());
  EXPECT_EQ(static_cast<uint32_t>(found), one.record() + 1);
  one.creator_is_back(one.handle());
  EXPECT_EQ(process_.held(Kind::thread), 1u) << "it is one";
  EXPECT_EQ(thread_lookup(one.handle()), found);
  one.end();
  pthread_join(one.handle(), nullptr);
  thread_joined(found);
}

TEST_F(ThreadsTest, ACreatorThatIsLateChangesNothingAboutTheNextThread) {
  uint64_t before = process_.totals(Kind::thread).acquired;
  EarlyThread gone(true);
  gone.end();
  auto& record = process_.record<ThreadRecord>(SectionId::threads, gone.record());
  while (record.state != static_cast<uint32_t>(State::free)) sched_yield();
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EarlyThread next(false);
  ASSERT_EQ(next.record(), gone.record());
  gone.creator_is_back(0x3000);
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  EXPECT_EQ(process_.totals(Kind::thread).acquired, before + 2);
  EXPECT_EQ(thread_lookup(0x3000), 0u);
  uint64_t found = thread_lookup(next.handle());
  EXPECT_NE(found, 0u);
  next.creator_is_back(next.handle());
  next.end();
  pthread_join(next.handle(), nullptr);
  thread_joined(found);
}

TEST_F(ThreadsTest, ItsStackIsKnownToWhoSearchesForPointers) {
  uintptr_t frame = 0;
  Thread one(false, [&] { frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); });
  std::vector<ThreadRange> found;
  each_thread_range([&](const ThreadRange& range) {
    if (range.thread == static_cast<uintptr_t>(one.handle())) found.push_back(range);
  });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_LT(found[0].low, frame);
  EXPECT_EQ(found[0].low, one.record().stack_low);
  // What libc keeps above the frames, to the end of the page.
  EXPECT_LT(found[0].high - static_cast<uintptr_t>(one.handle()) - 1, 4096u);
  EXPECT_EQ(found[0].high % 4096, 0u);
  one.join();
}

TEST_F(ThreadsTest, ItsStackIsAsLargeAsItsAttributesSay) {
  pthread_attr_t attributes;
  pthread_getattr_default_np(&attributes);
  size_t bytes = 0;
  pthread_attr_getstacksize(&attributes, &bytes);
  EXPECT_EQ(default_stack_bytes(), bytes);
  Thread one;
  EXPECT_EQ(one.record().stack_high - one.record().stack_low, bytes);
  one.join();
  pthread_attr_setstacksize(&attributes, 1 << 20);
  EXPECT_EQ(stack_bytes_of(attributes), size_t{1} << 20);
  pthread_attr_destroy(&attributes);
}

// What a thread has returned may be all that leads to a block.
TEST_F(ThreadsTest, ItsResultIsFoundUntilItIsJoined) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer starts threads by a routine of its own";
#endif
  Thread one;
  one.end();
  auto handle = static_cast<uint64_t>(one.handle());
  constexpr size_t kReadable = 2048;
  size_t offset = thread_result_offset(handle, kReadable);
  ASSERT_NE(offset, 0u);
  EXPECT_EQ(*reinterpret_cast<void**>(handle + offset), &one);
  // It is known by the two words behind it and behind another one.
  size_t needed = offset + 4 * sizeof(void*);
  EXPECT_EQ(thread_result_offset(handle, needed), offset);
  EXPECT_EQ(thread_result_offset(handle, needed - 1), 0u);
  one.join();
}

TEST_F(ThreadsTest, OfThreadsThatStartedOtherwiseNoResultIsKnown) {
  ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
  auto main = reinterpret_cast<uintptr_t>(&thread_main), ticket = reinterpret_cast<uintptr_t>(birth.ticket);
  auto offset_in = [](std::vector<uintptr_t> words) {
    return thread_result_offset(reinterpret_cast<uintptr_t>(words.data()), words.size() * sizeof words[0]);
  };
  EXPECT_EQ(offset_in({0, 0, 0, main, ticket}), sizeof(uintptr_t));
  EXPECT_EQ(offset_in({0, 0, 0, main, 0, 0}), 0u) << "that is no thread of ours";
  EXPECT_EQ(offset_in({0, 0, 0, 1, ticket, 0}), 0u);
  EXPECT_EQ(offset_in({0, 0, 0, 0, main}), 0u);
  thread_created(birth, EINVAL, 0, 1, unwind::caller_registers());
}

// A library's destructors of thread-specific data may acquire and release until late in a thread's end.
TEST_F(ThreadsTest, ItHasNotEndedWhileDestructorsOfItsKeysRun) {
  static std::atomic<int> calls{0};
  static std::atomic<bool> was_known{false};
  static pthread_key_t key;
  pthread_key_create(&key, [](void* value) {
    if (++calls == 1) pthread_setspecific(key, value);  // it is called once more
    if (calls == 2) was_known = t_local.state != nullptr;
  });
  Thread one(false, [] { pthread_setspecific(key, &calls); });
  one.join();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(was_known);
  pthread_key_delete(key);
}

TEST_F(ThreadsTest, TheEndOfOneThatNoHookCreatedIsNobodyElses) {
  Thread other;
  pthread_t unknown;
  bool has_state = false;
  auto run = [](void* has) -> void* {
    *static_cast<bool*>(has) = own_state() != nullptr;
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&unknown, nullptr, run, &has_state), 0);
  pthread_join(unknown, nullptr);
  EXPECT_TRUE(has_state);
  EXPECT_EQ(other.state(), State::running);
  EXPECT_EQ(process_.record<ThreadRecord>(SectionId::threads, 0).state, static_cast<uint32_t>(State::running));
  other.join();
}

TEST_F(ThreadsTest, RecordsAreUsedAgain) {
  { Thread().join(); }
  uint64_t records = process_.count(SectionId::threads);
  for (int round = 0; round < 5; ++round) Thread().join();
  EXPECT_EQ(process_.count(SectionId::threads), records);
}

TEST_F(ThreadsTest, ALetterOfAnEarlierThreadLetsGoOfNoLaterOne) {
  Thread one;
  uint64_t earlier = thread_lookup(one.handle());
  EXPECT_NE(earlier, 0u);
  one.join();
  thread_joined(earlier);
  EXPECT_EQ(process_.held(Kind::thread), 0u) << "a second time";
  Thread other;
  thread_joined(earlier);
  thread_detached(earlier);
  EXPECT_EQ(other.state(), State::running);
  EXPECT_EQ(other.record().flags, 0u);
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  other.join();
}

TEST_F(ThreadsTest, OthersAreNotKnown) {
  EXPECT_EQ(thread_lookup(0), 0u);
  EXPECT_EQ(thread_lookup(0x12345678), 0u);
  EXPECT_FALSE(thread_ignore(0x12345678));
  thread_joined(0);
  thread_detached(0);
}

TEST_F(ThreadsTest, ManyAreToldApart) {
  std::vector<std::unique_ptr<Thread>> all;
  for (int i = 0; i < 20; ++i) all.push_back(std::make_unique<Thread>());
  for (const auto& one : all) {
    uint64_t found = thread_lookup(one->handle());
    ASSERT_NE(found, 0u);
    auto& record = process_.record<ThreadRecord>(SectionId::threads, static_cast<uint32_t>(found) - 1);
    EXPECT_EQ(record.tid, one->tid());
  }
  EXPECT_EQ(process_.held(Kind::thread), 20u);
  for (const auto& one : all) one->join();
}

/// Created, as far as is known: there is no such thread.
uint32_t enter_thread(pthread_t handle) {
  ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
  thread_created(birth, 0, handle, 1, unwind::caller_registers());
  return birth.record + 1;
}

// A handle is another thread's right after the join that frees it, which is recorded a little later.
TEST_F(ThreadsTest, AHandleIsTheLatestThreadsThatHasIt) {
  constexpr pthread_t kHandle = 0x500000, kOther = 0x600000;
  auto let_go = [](pthread_t handle) { thread_joined(thread_lookup(handle)); };
  uint32_t second = enter_thread(kOther), first = enter_thread(kHandle);
  if (second >
      first) {  // which records there are depends on what was before; those that were freed last are taken first
    let_go(kOther);
    let_go(kHandle);
    second = enter_thread(kOther);
    first = enter_thread(kHandle);
  }
  ASSERT_LT(second, first);
  let_go(kOther);
  ASSERT_EQ(enter_thread(kHandle), second) << "a later thread, in an earlier record";
  for (int round = 0; round < 2; ++round) {
    uint32_t third = enter_thread(kHandle);
    uint64_t found = thread_lookup(kHandle);
    EXPECT_EQ(static_cast<uint32_t>(found), third);
    thread_joined(found);
    EXPECT_EQ(static_cast<uint32_t>(thread_lookup(kHandle)), second);
  }
  thread_joined(thread_lookup(kHandle));
  EXPECT_EQ(static_cast<uint32_t>(thread_lookup(kHandle)), first);
  thread_joined(thread_lookup(kHandle));
  EXPECT_EQ(thread_lookup(kHandle), 0u);
}

TEST_F(ThreadsTest, TheProgramMayAskThatOneDoesNotCount) {
  uint32_t mark = g_tracker.serial;
  Thread one;
  EXPECT_TRUE(thread_ignore(one.handle()));
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_TRUE(thread_ignore(one.handle()));
  EXPECT_EQ(process_.held(Kind::thread), 0u) << "a second time";
  EXPECT_EQ(live_since(mark), 0);
  one.join();
}

TEST_F(ThreadsTest, WhatIsCreatedInAPauseIsListedAndNotCounted) {
  std::unique_ptr<Thread> one;
  {
    test::Paused paused;
    one = std::make_unique<Thread>();
  }
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(one->state(), State::running);
  EXPECT_TRUE(one->record().flags & ledger::kThreadIgnored);
  one->join();
  EXPECT_EQ(process_.held(Kind::thread), 0u);
}

TEST_F(ThreadsTest, ACreationThatFailsLeavesNothing) {
  uint64_t failures = process_.count(SectionId::failures), total = process_.totals(Kind::thread).acquired;
  for (int error : {EAGAIN, EINVAL}) {
    ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
    ASSERT_NE(birth.ticket, nullptr);
    thread_created(birth, error, 0, 1, unwind::caller_registers());
    EXPECT_EQ(process_.record<ThreadRecord>(SectionId::threads, birth.record).state,
              static_cast<uint32_t>(State::free));
  }
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(process_.totals(Kind::thread).acquired, total) << "none was started";
  EXPECT_EQ(process_.count(SectionId::failures), failures + 1) << "only EAGAIN is a limit";
}

TEST_F(ThreadsTest, ItIsKnownWhetherThereAreOthers) {
  EXPECT_TRUE(is_only_thread());
  EXPECT_TRUE(is_only_known_thread());
  Thread one;
  EXPECT_FALSE(is_only_thread());
  EXPECT_FALSE(is_only_known_thread());
  one.join();
  EXPECT_TRUE(is_only_known_thread());
}

TEST_F(ThreadsTest, WhereTheKernelCannotBeAskedItIsKnownFromWhatWasCreated) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  bool is_only = is_only_thread();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(is_only);
  Thread one;
  setrlimit(RLIMIT_NOFILE, &none);
  is_only = is_only_thread();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(is_only);
  one.join();
}

TEST_F(ThreadsTest, AskingTheKernelLeavesNoDescriptorOpen) {
  int input = dup(0);
  close(0);
  EXPECT_TRUE(is_only_thread());
  EXPECT_EQ(fcntl(0, F_GETFD), -1);
  if (input >= 0) dup2(input, 0);
  close(input);
}

/// In a fork child, which the runtime has given a ledger of its own. What is wrong there; 0: nothing.
int wrong_in_fork_child() {
  test::LedgerBuilder ledger;
  g_tracker.writer = ledger.writer();
  reset_states_after_fork();
  reset_threads_after_fork();
  g_fork_page.alive = 1;
  auto& record = *ledger.writer().at<ThreadRecord>(SectionId::threads, 0);
  if (ledger.writer().section(SectionId::threads).count != 1) return 1;
  if (record.tid != getpid() || record.state != static_cast<uint32_t>(State::running)) return 2;
  if (record.flags != ledger::kThreadMain || record.site) return 3;
  if (g_tracker.main_thread != static_cast<uintptr_t>(pthread_self())) return 4;
  // Its end is nothing about the record that it had in its parent's table.
  if (t_local.state && t_local.state->record != -1) return 5;
  return is_only_known_thread() ? 0 : 6;
}
int status_of_fork_child() {
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(wrong_in_fork_child());
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(ThreadsTest, TheTableOfAForkChildBeginsWithItsOnlyThread) {
  Thread().join();  // its record, which is free now, is the parent's
  Thread other;
  EXPECT_EQ(status_of_fork_child(), 0);
  int status = -1;
  Thread forks(false, [&] { status = status_of_fork_child(); });
  EXPECT_EQ(status, 0);
  for (Thread* one : {&forks, &other}) one->join();
}

TEST_F(ThreadsTest, WithoutTrackingNothingIsRecorded) {
  uint64_t records = process_.count(SectionId::threads);
  test::Untracked untracked;
  ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
  EXPECT_EQ(birth.ticket, nullptr);
  thread_created(birth, 0, 0x1000, 1, unwind::caller_registers());
  EXPECT_EQ(thread_lookup(pthread_self()), 0u);
  EXPECT_FALSE(is_only_known_thread());
  EXPECT_EQ(process_.count(SectionId::threads), records);
}

TEST_F(ThreadsTest, OneThatIsNotTrackedIsNotCounted) {
  auto main_handle = process_.record<ThreadRecord>(SectionId::threads, 0).handle.load();
  thread_created({}, 0, 0x2000, 1, unwind::caller_registers());
  thread_created({}, EPERM, 0, 1, unwind::caller_registers());
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(process_.record<ThreadRecord>(SectionId::threads, 0).handle, main_handle);
}

}  // namespace
}  // namespace unfreed::track
