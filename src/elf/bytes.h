// The bytes of an ELF file: in memory, or in a file that is read piece by piece.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/syscall.h"

namespace unfreed::elf {

/// Reads nothing that does not lie wholly inside. A file may change while it is read: a second read of the same bytes
/// may give others, so each one is checked. Async-signal-safe; thread-compatible.
class Bytes {
 public:
  /// Must outlive this.
  explicit Bytes(std::span<const std::byte> memory) : memory_(memory.data()), size_(memory.size()) {}
  /// A descriptor that stays the caller's.
  Bytes(long file, uint64_t size) : file_(file), size_(size) {}

  uint64_t size() const { return size_; }

  bool read(uint64_t offset, void* out, size_t bytes) const {
    if (bytes > size_ || offset > size_ - bytes) return false;
    if (memory_) {
      std::memcpy(out, memory_ + offset, bytes);
      return true;
    }
    if (bytes > kWindowBytes) return read_file(offset, out, bytes);
    // One stays on the file's beginning, where everything that follows is looked up. Of the two others the one that
    // was not used last goes: names of sections are read in turn with the sections.
    Window* window = &first_;
    if (offset + bytes > kWindowBytes) {
      bool is_in_last = others_[last_].holds(offset, bytes);
      if (!is_in_last) last_ = !last_;
      window = &others_[last_];
    }
    if (!window->holds(offset, bytes) && !fill(*window, window == &first_ ? 0 : offset, offset + bytes)) return false;
    std::memcpy(out, window->text + (offset - window->start), bytes);
    return true;
  }

  template <class Record>
  bool read(uint64_t offset, Record& out) const {
    return read(offset, &out, sizeof out);
  }

 private:
  bool read_file(uint64_t offset, void* out, size_t bytes) const {
    for (size_t done = 0; done < bytes;) {
      long got = base::raw_syscall(SYS_pread64, file_, reinterpret_cast<long>(static_cast<char*>(out) + done),
                                   static_cast<long>(bytes - done), static_cast<long>(offset + done));
      if (got == -EINTR) continue;
      if (got <= 0) return false;
      done += static_cast<size_t>(got);
    }
    return true;
  }
  // A program's headers, the name of its loader and its notes fit in this. The stack may be a signal
  // handler's.
  static constexpr size_t kWindowBytes = 1024;
  struct Window {
    uint64_t start = 0;
    size_t bytes = 0;
    char text[kWindowBytes];

    bool holds(uint64_t offset, size_t wanted) const { return offset >= start && offset + wanted <= start + bytes; }
  };
  /// A read mostly follows the previous one. False: it does not reach to `end`.
  bool fill(Window& window, uint64_t start, uint64_t end) const {
    size_t wanted = size_ - start < kWindowBytes ? static_cast<size_t>(size_ - start) : kWindowBytes;
    window.start = start;
    window.bytes = read_file(start, window.text, wanted) ? wanted : 0;
    return start + window.bytes >= end;
  }

  const std::byte* memory_ = nullptr;
  long file_ = -1;
  uint64_t size_ = 0;
  mutable Window first_, others_[2];
  mutable bool last_ = false;
};

}  // namespace unfreed::elf
