// The memory of a thread at a system call: read from the thread, which is stopped, or from what was copied of it there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace unfreed::trace {

class ThreadMemory {
 public:
  /// Of a thread that is stopped.
  explicit ThreadMemory(int tid) : tid_(tid) {}
  /// Of one that may have gone on: what was copied of it, and no more. add() says what.
  static ThreadMemory copied(int tid) {
    ThreadMemory memory(tid);
    memory.is_copied_ = true;
    return memory;
  }

  /// `bytes` outlive it.
  void add(uintptr_t address, std::span<const std::byte> bytes) { pieces_.push_back({address, bytes}); }

  int tid() const { return tid_; }
  /// Copies what can be read from there on, at most `bytes`. How many; −errno if none.
  long read(uintptr_t address, void* to, size_t bytes) const;
  /// The same of memory that does not change while the program runs: of the thread as it is now.
  long read_constant(uintptr_t address, void* to, size_t bytes) const;
  template <class Value>
  bool read_value(uintptr_t address, Value& out) const {
    return address && read(address, &out, sizeof out) == sizeof out;
  }
  /// As much of a text as can be read.
  std::string read_text(uintptr_t address, size_t most) const;

 private:
  struct Piece {
    uintptr_t address;
    std::span<const std::byte> bytes;
  };

  int tid_;
  bool is_copied_ = false;
  std::vector<Piece> pieces_;
};

}  // namespace unfreed::trace
