// The stacks of the program's threads, those that have ended included: libc keeps a thread's stack for another one,
// with all that was on it. Lock-free, async-signal-safe.
#pragma once

#include <cstdint>

namespace unfreed::track {

struct ThreadRange {
  uintptr_t low;
  uintptr_t high;
  uintptr_t thread;  ///< pthread_t; it lies in the range
};

/// A thread runs there from now on. Where there is no room for more it is not noted.
void note_thread_range(const ThreadRange& range);

/// Calls `visit(context, range)` for each. Who runs in it now, if anyone, is another question.
void each_thread_range(void* context, void (*visit)(void* context, const ThreadRange& range));
template <class Visit>
void each_thread_range(Visit visit) {
  each_thread_range(&visit, [](void* context, const ThreadRange& range) { (*static_cast<Visit*>(context))(range); });
}

}  // namespace unfreed::track
