// A list of spare objects, linked by their own `next_free`. Giving back takes no lock, so that it may be done at a
// thread's start and end, where each system call of a lock counts; taking is for one thread at a time (under a lock),
// which also keeps an object from being taken and given back while another taker looks at it.
#pragma once

#include <atomic>

namespace unfreed::base {

template <class T>
class FreeList {
 public:
  /// Async-signal-safe.
  void give_back(T* object) {
    T* first = first_.load(std::memory_order_relaxed);
    do {
      object->next_free = first;
    } while (!first_.compare_exchange_weak(first, object, std::memory_order_release, std::memory_order_relaxed));
  }

  /// nullptr when there is none. The caller holds the list's lock.
  T* take() {
    T* first = first_.load(std::memory_order_acquire);
    while (first && !first_.compare_exchange_weak(first, first->next_free, std::memory_order_acquire)) {
    }
    return first;
  }

  /// Only in a fork child: what is in it is given up.
  void reset() { first_.store(nullptr, std::memory_order_relaxed); }

 private:
  std::atomic<T*> first_{nullptr};
};

}  // namespace unfreed::base
