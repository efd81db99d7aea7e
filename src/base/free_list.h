// A list of spare objects, linked by their own `next_free`. Lock-free, so that neither operation costs a system
// call (a lock blocks signals): every start and end of a thread uses it.
//
// Objects are never unmapped, so one can be read even if another thread has just removed it. A tag that changes with
// every removal (Treiber's stack) shows whether it was removed and put back meanwhile. The tag is in the upper
// bits of the pointer, which addresses do not use: 16 bits, so that exactly 65,536 removals, or a multiple, while
// one thread is in the middle of its own would go unnoticed.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::base {

/// `T` has a member std::atomic<T*> next_free.
template <class T>
class FreeList {
 public:
  /// Async-signal-safe.
  void give_back(T* object) {
    uint64_t first = first_.load(std::memory_order_relaxed);
    do {
      object->next_free.store(pointer(first), std::memory_order_relaxed);
    } while (!first_.compare_exchange_weak(first, tag(first) | reinterpret_cast<uint64_t>(object),
                                           std::memory_order_release, std::memory_order_relaxed));
  }

  /// nullptr if there is none. Async-signal-safe.
  T* take() {
    uint64_t first = first_.load(std::memory_order_acquire);
    while (T* object = pointer(first)) {
      auto next = reinterpret_cast<uint64_t>(object->next_free.load(std::memory_order_relaxed));
      if (first_.compare_exchange_weak(first, (tag(first) + kTagUnit) | next, std::memory_order_acquire)) return object;
    }
    return nullptr;
  }

  /// Only in a fork child: abandons what is in it.
  void reset() { first_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kTagUnit = uint64_t{1} << 48;
  static T* pointer(uint64_t word) { return reinterpret_cast<T*>(word & (kTagUnit - 1)); }
  static uint64_t tag(uint64_t word) { return word & ~(kTagUnit - 1); }

  std::atomic<uint64_t> first_{0};
};

}  // namespace unfreed::base
