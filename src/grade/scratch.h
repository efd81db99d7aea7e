// Memory for the time of one scan, which the scan must leave out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::grade {

/// One thread at a time may use any of them.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { release(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// Zeroed, and lazily backed; nullptr: there is none. Async-signal-safe.
  void* reserve(size_t bytes);
  template <class T>
  T* reserve_array(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }

  /// Unmaps all of them: those who had them will not come back for them.
  static void release_all();

  /// Calls `visit(low, high)` for each that there is.
  template <class Visit>
  static void each(Visit visit) {
    for (Scratch* one = g_first; one; one = one->next_) {
      auto low = reinterpret_cast<uintptr_t>(one->start_);
      visit(low, low + one->bytes_);
    }
  }

 private:
  void release();

  static constinit Scratch* g_first;

  void* start_ = nullptr;
  size_t bytes_ = 0;
  Scratch* next_ = nullptr;
};

}  // namespace unfreed::grade
