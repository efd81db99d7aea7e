#include "unwind/waiting_thread.h"

#include <errno.h>

#include <algorithm>
#include <string_view>

#include "base/syscall.h"
#include "base/text.h"
#include "unwind/walk.h"

namespace unfreed::unwind {

namespace {

struct Place {
  uintptr_t sp = 0;
  uintptr_t pc = 0;
  bool operator==(const Place&) const = default;
};

uintptr_t parse_hexadecimal(std::string_view text) {
  uintptr_t value = 0;
  if (text.size() < 3 || text[0] != '0' || text[1] != 'x') return 0;
  for (char digit : base::slice(text, 2)) {
    if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'))) break;
    value = value << 4 | static_cast<uintptr_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  return value;
}

/// Both addresses stand at the end of a line: "NR ARGS… SP PC", "-1 SP PC" (stopped elsewhere in the kernel), or
/// "running".
WaitingWalk find_place(const WaitingThread& thread, Place& out) {
  base::FixedText<64> path;
  path.add("/proc/");
  if (thread.pid)
    path.add_signed(thread.pid);
  else
    path.add("self");
  path.add("/task/").add_signed(thread.tid).add("/syscall");
  char text[256];
  long size = base::read_file(path.c_str(), text, sizeof text);
  if (size == -EPERM || size == -EACCES) return WaitingWalk::refused;
  std::string_view line(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  size_t last = line.rfind(' ');
  if (last == line.npos) return WaitingWalk::moves;
  std::string_view before = base::slice(line, 0, last);
  size_t second = before.rfind(' ');
  if (second == before.npos) return WaitingWalk::moves;
  out = {parse_hexadecimal(base::slice(before, second + 1)), parse_hexadecimal(base::slice(line, last + 1))};
  return out.sp && out.pc ? WaitingWalk::done : WaitingWalk::moves;
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
  Place place, after;
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
