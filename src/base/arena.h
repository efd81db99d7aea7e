// Memory for one task: handed out front to back from mapped chunks, released all at once. Nothing comes from
// malloc, so the runtime may use it inside its host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace unfreed::base {

/// Not thread-safe. Async-signal-safe: only mmap and munmap are called.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  Arena(Arena&& other) noexcept
      : newest_(std::exchange(other.newest_, nullptr)), used_(other.used_), short_(other.short_) {}
  Arena& operator=(Arena&& other) noexcept {
    std::swap(newest_, other.newest_);
    std::swap(used_, other.used_);
    std::swap(short_, other.short_);
    return *this;
  }

  /// Zeroed memory that lives as long as the arena. nullptr if the kernel has none; short_of_memory() is true from
  /// then on.
  void* take(size_t bytes, size_t alignment);

  /// `count` value-initialised objects, or none at all.
  template <class T>
  std::span<T> take_array(size_t count) {
    std::span<T> objects = take_zeroed_array<T>(count);
    if constexpr (!std::is_trivially_default_constructible_v<T>)
      for (T& object : objects) new (static_cast<void*>(&object)) T();
    return objects;
  }

  /// The same for a type of which all bytes zero are a value: those that are never used are never touched.
  template <class T>
  std::span<T> take_zeroed_array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count == 0) return {};
    size_t bytes;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): arrays of pointers, too
    if (__builtin_mul_overflow(count, sizeof(T), &bytes)) {
      short_ = true;
      return {};
    }
    auto* first = static_cast<T*>(take(bytes, alignof(T)));
    return first ? std::span<T>(first, count) : std::span<T>();
  }

  /// A copy of `text`; "" if there is no memory.
  std::string_view copy(std::string_view text);

  bool short_of_memory() const { return short_; }

 private:
  struct Chunk {
    Chunk* older;
    size_t bytes;
  };
  Chunk* newest_ = nullptr;
  size_t used_ = 0;  ///< of the newest chunk
  bool short_ = false;
};

/// A growing array in an arena. When it grows, its old memory stays allocated: short lists are cheap, long ones should
/// be reserved. Each call is given the arena, so that a List is trivially copyable.
template <class T>
class List {
 public:
  /// Adds a value-initialised element; nullptr if the arena has no memory.
  T* add(Arena& arena) {
    if (size_ == capacity_ && !reserve(arena, capacity_ ? size_t{capacity_} * 2 : 4)) return nullptr;
    return new (static_cast<void*>(data_ + size_++)) T();
  }
  /// False if the arena has no memory.
  bool add(Arena& arena, const T& value) {
    T* place = add(arena);
    if (place) *place = value;
    return place;
  }
  bool reserve(Arena& arena, size_t capacity) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (capacity <= capacity_) return true;
    // What is never used is not touched: add() makes the elements.
    auto* more = capacity <= UINT32_MAX ? static_cast<T*>(arena.take(capacity * sizeof(T), alignof(T))) : nullptr;
    if (!more) return false;
    for (uint32_t at = 0; at < size_; ++at) new (static_cast<void*>(more + at)) T(data_[at]);
    data_ = more;
    capacity_ = static_cast<uint32_t>(capacity);
    return true;
  }
  void clear() { size_ = 0; }
  void shrink(size_t size) { size_ = size < size_ ? static_cast<uint32_t>(size) : size_; }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t at) { return data_[at]; }
  const T& operator[](size_t at) const { return data_[at]; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace unfreed::base
