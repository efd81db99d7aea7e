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

  /// The same for what is used from its start on, as much as there are blocks: a large one has a mapping of its own,
  /// and huge pages, each of which costs one fault instead of 512.
  template <class T>
  T* reserve_dense(size_t count) {
    return static_cast<T*>(count * sizeof(T) >= kHugePage ? reserve_huge(count * sizeof(T))
                                                          : reserve(count * sizeof(T)));
  }

  /// Unmaps all of them: those who had them will not come back for them.
  static void release_all();

  /// Calls `visit(low, high)` for each that there is.
  template <class Visit>
  static void each(Visit visit) {
    if (g_shared) visit(g_shared, g_shared + kSharedBytes);
    for (Scratch* one = g_first; one; one = one->next_) {
      auto low = reinterpret_cast<uintptr_t>(one->start_);
      visit(low, low + one->bytes_);
    }
  }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;

  void* reserve_huge(size_t bytes);
  void* keep(void* start, size_t bytes);
  void release();
  static void* take_shared(size_t bytes);
  static void release_shared();

  static constinit Scratch* g_first;
  /// One mapping for many: each of its own takes the kernel some microseconds, of which a small process has few.
  static constexpr size_t kSharedBytes = size_t{256} << 20;
  static constinit uintptr_t g_shared;  ///< 0: there is none
  static constinit size_t g_shared_used;

  void* start_ = nullptr;
  size_t bytes_ = 0;
  bool is_shared_ = false;
  Scratch* next_ = nullptr;
};

}  // namespace unfreed::grade
