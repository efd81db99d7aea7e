// Stops all other threads of the process for the moment in which a copy of it is made: each waits in a signal handler,
// its registers saved. A thread that blocks all signals is left alone, if it waits in the kernel all the time.
//
//     StoppedThreads threads;
//     const char* problem = threads.stop();
//     threads.look_again();
//     … clone …
//     problem = threads.release();          the copy is of one moment, if there is none
//
// The signal is a real-time one that the program has left at its default action, and has it again afterwards. Waiting
// calls that it cuts short are made again, if that can be known and done. Async-signal-safe; one at a time in a
// process.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "grade/grade.h"
#include "grade/scratch.h"

namespace unfreed::grade {

class StoppedThreads {
 public:
  StoppedThreads() = default;
  ~StoppedThreads() { release(); }
  StoppedThreads(const StoppedThreads&) = delete;
  StoppedThreads& operator=(const StoppedThreads&) = delete;

  /// nullptr, or why not all stand still (static). Stopped threads are stopped until release(), or for two seconds.
  /// Each is waited for as long as `patience_ms`.
  const char* stop(int patience_ms);
  /// Right before the copy is made: looks again where the threads are that could only be left alone, as they may have
  /// run since.
  void look_again();
  /// Lets them go on. nullptr, or why they did not all stand still until now.
  const char* release();

  /// In a fork child: its parent's threads, of which some may have been stopped, are not there; nor is a signal of ours
  /// on its way, which has had its default action before.
  static void reset_after_fork();

  /// While they are stopped, and in a copy of the process made meanwhile.
  std::span<const ThreadAtRest> at_rest() const { return {at_rest_, count_}; }
  /// Is one of them in realloc?
  bool any_moves_block() const;
  /// Adds the calling thread; before the copy is made.
  void add(const ThreadAtRest& thread) {
    if (at_rest_ && count_ < kMost) at_rest_[count_++] = thread;
  }

 private:
  struct Slot;
  static constexpr size_t kMost = 8192;

  static void handle(int signal, siginfo_t* info, void* context);
  static void wait_in_handler(Slot& slot, uint32_t stop, ucontext_t& context);
  const char* find_new(bool& any_new);
  const char* take(int tid);
  bool clear(Slot& slot);
  bool send(Slot& slot);
  Slot& slot_at(size_t at);
  static ThreadAtRest thread_at_rest(const Slot& slot);
  bool is_where_it_was(Slot& slot);
  bool wait_for_stops(size_t first);
  const char* finish_stop();

  Scratch thread_memory_, text_memory_;
  Slot* slots_ = nullptr;
  ThreadAtRest* at_rest_ = nullptr;
  char* text_ = nullptr;
  size_t first_slot_ = 0;
  size_t slot_count_ = 0;
  size_t count_ = 0;
  int signal_ = 0;
  int most_waits_ = 0;
  bool is_slot_taken_ = false;  ///< the one behind them
  bool is_stopped_ = false;
};

}  // namespace unfreed::grade
