// A futex mutex for the runtime's rare, short critical sections. All signals are blocked while it is held, so that a
// handler that enters the runtime again on the same thread cannot wait for itself. Never held across a call into the
// process.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::base {

class Lock {
 public:
  void lock();
  void unlock();
  // Only in a fork child, where the holder may not exist any more.
  bool is_held() const { return word_.load(std::memory_order_relaxed) != 0; }
  void reset() { word_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> word_{0};  ///< 0 free, 1 held, 2 held and waited for
};

/// Blocks all signals of the calling thread for its lifetime.
class SignalBlock {
 public:
  SignalBlock();
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  uint64_t saved_;
};

/// Holds a Lock with signals blocked.
class Hold {
 public:
  explicit Hold(Lock& lock) : lock_(lock) { lock_.lock(); }
  ~Hold() { lock_.unlock(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  SignalBlock block_;
  Lock& lock_;
};

}  // namespace unfreed::base
