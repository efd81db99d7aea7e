// The first function of a thread that has unwind information, where libc's code has none (musl's): walks end there.
#pragma once

namespace unfreed::unwind {

/// In the function that libc calls, around the call that all of the thread's work is in.
class OutermostFrame {
#ifndef __GLIBC__
 public:
  [[gnu::always_inline]] OutermostFrame() {
    asm volatile(".cfi_undefined rip");  // System V ABI, AMD64, 3.4.1 and DWARF 5, 6.4.4
  }
  /// Keeps the call from becoming a jump, which would leave no frame.
  [[gnu::always_inline]] ~OutermostFrame() { asm volatile(""); }
#endif
};

}  // namespace unfreed::unwind
