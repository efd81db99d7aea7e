#include "unwind/waiting_thread.h"

#include <algorithm>

#include "base/syscall.h"
#include "base/waiting_call.h"
#include "unwind/walk.h"

namespace unfreed::unwind {

namespace {

WaitingWalk find_place(const WaitingThread& thread, base::WaitingCall& out) {
  switch (base::read_waiting_call(thread.pid, thread.tid, out)) {
    case base::Waiting::yes:
      return WaitingWalk::done;
    case base::Waiting::refused:
      return WaitingWalk::refused;
    default:
      return WaitingWalk::moves;
  }
}

/// Copies what lies between the stack pointer and the stack's end; fewer bytes where less is mapped.
size_t copy_stack(const WaitingThread& thread, uintptr_t sp, std::span<std::byte> to) {
  bool own = sp >= thread.stack_low && sp < thread.stack_high;
  size_t bytes = own ? std::min(to.size(), thread.stack_high - sp) : to.size();
  long got = base::copy_memory(thread.pid ? thread.tid : 0, sp, to.data(), bytes);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

}  // namespace

WaitingWalk walk_waiting(const WaitingThread& thread, std::span<std::byte, kMostWaitingBytes> memory,
                         uint32_t own_module, std::span<Frame> frames, WalkResult& result) {
  base::WaitingCall place, after;
  if (WaitingWalk found = find_place(thread, place); found != WaitingWalk::done) return found;
  size_t bytes = copy_stack(thread, place.sp, memory);
  if (bytes < sizeof(uintptr_t)) return WaitingWalk::moves;
  // Has it moved on meanwhile? Then what was copied is of two moments.
  if (WaitingWalk found = find_place(thread, after); found != WaitingWalk::done) return found;
  if (after != place) return WaitingWalk::moves;
  auto at = reinterpret_cast<uintptr_t>(memory.data());
  StackBounds bounds{place.sp, place.sp + bytes, static_cast<intptr_t>(at - place.sp)};
  SlotLog log;
  result = walk({place.pc, place.sp, 0, true, false}, bounds, own_module, frames, log);
  return WaitingWalk::done;
}

}  // namespace unfreed::unwind
