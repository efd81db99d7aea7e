// Working memory of one report: handed out front to back from the span the caller gave, never given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace unfreed::report {

/// The ledger of a running process may grow between sizing the memory and filling it.
inline size_t with_room_to_grow(size_t count) { return count + count / 8 + 64; }

class Scratch {
 public:
  explicit Scratch(std::span<std::byte> memory) : memory_(memory) {}

  /// Up to `count` objects, zeroed as far as they are value-initialised by their users; fewer when the memory ends
  /// (then short_of_memory() is true from there on).
  template <class T>
  std::span<T> take(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    size_t misaligned = reinterpret_cast<uintptr_t>(memory_.data()) % alignof(T);
    size_t skipped = misaligned ? alignof(T) - misaligned : 0;
    size_t room = memory_.size() > skipped ? (memory_.size() - skipped) / sizeof(T) : 0;
    if (count > room) {
      count = room;
      short_ = true;
    }
    if (count == 0) return {};
    T* first = reinterpret_cast<T*>(memory_.data() + skipped);
    memory_ = memory_.last(memory_.size() - skipped - count * sizeof(T));
    return {first, count};
  }

  bool short_of_memory() const { return short_; }

 private:
  std::span<std::byte> memory_;
  bool short_ = false;
};

}  // namespace unfreed::report
