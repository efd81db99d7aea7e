// The bytes of an ELF file, wherever they are: in memory, or in a file that is read piece by piece.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/syscall.h"

namespace unfreed::elf {

/// Reads nothing that does not lie wholly inside. A file may change while it is read: what was read once may read
/// differently later, and is checked each time. Async-signal-safe; thread-compatible.
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
    if (bytes > sizeof window_) return read_file(offset, out, bytes);
    bool is_in_window = offset >= window_start_ && offset + bytes <= window_start_ + window_bytes_;
    if (!is_in_window && !fill_window(offset, bytes)) return false;
    std::memcpy(out, window_ + (offset - window_start_), bytes);
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
  /// What is asked for next mostly lies behind what was asked for last.
  bool fill_window(uint64_t offset, size_t bytes) const {
    size_t wanted = size_ - offset < sizeof window_ ? static_cast<size_t>(size_ - offset) : sizeof window_;
    window_start_ = offset;
    window_bytes_ = read_file(offset, window_, wanted) ? wanted : 0;
    return window_bytes_ >= bytes;
  }

  const std::byte* memory_ = nullptr;
  long file_ = -1;
  uint64_t size_ = 0;
  // A program's headers, the name of its loader and its notes lie in so many bytes. The stack may be a signal
  // handler's.
  mutable char window_[1024];
  mutable uint64_t window_start_ = 0;
  mutable size_t window_bytes_ = 0;
};

}  // namespace unfreed::elf
