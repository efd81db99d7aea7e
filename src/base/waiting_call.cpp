#include "base/waiting_call.h"

#include <errno.h>

#include <string_view>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::base {

namespace {

/// "0x7f…"
bool parse_hexadecimal(std::string_view text, uint64_t& out) {
  if (!text.starts_with("0x")) return false;
  text.remove_prefix(2);
  return take_hexadecimal(text, out) && text.empty();
}

constexpr unsigned kHashBits = 22, kMostNumber = (1u << (32 - kHashBits)) - 2;

}  // namespace

// "NR ARGUMENT… SP PC", "-1 SP PC" (stopped elsewhere in the kernel), or "running"
Waiting read_waiting_call(int pid, int tid, WaitingCall& out) {
  FixedText<64> path;
  path.add("/proc/");
  if (pid)
    path.add_signed(pid);
  else
    path.add("self");
  path.add("/task/").add_signed(tid).add("/syscall");
  char text[256];
  long size = read_file(path.c_str(), text, sizeof text);
  if (size == -EPERM || size == -EACCES) return Waiting::refused;
  std::string_view rest = trimmed({text, size > 0 ? static_cast<size_t>(size) : 0});
  out = {};
  bool more = true;
  std::string_view number = next_part(rest, ' ', more);
  uint64_t value = 0;
  if (parse_number(number, value)) {
    out.number = static_cast<long>(value);
    for (uint64_t& argument : out.arguments)
      if (!more || !parse_hexadecimal(next_part(rest, ' ', more), argument)) return Waiting::runs;
  } else if (number != "-1") {
    return Waiting::runs;
  }
  bool has_place = more && parse_hexadecimal(next_part(rest, ' ', more), out.sp) && more &&
                   parse_hexadecimal(next_part(rest, ' ', more), out.pc);
  return has_place && out.sp && out.pc ? Waiting::yes : Waiting::runs;
}

uint32_t digest(const WaitingCall& call) {
  if (call.number < 0 || call.number > static_cast<long>(kMostNumber)) return 0;
  const uint64_t place[] = {call.sp, call.pc};
  uint64_t hash = hash_text({reinterpret_cast<const char*>(call.arguments), sizeof call.arguments});
  hash = hash_text({reinterpret_cast<const char*>(place), sizeof place}, hash);
  return static_cast<uint32_t>(call.number + 1) << kHashBits | static_cast<uint32_t>(hash >> (64 - kHashBits));
}

long number_in(uint32_t digest) { return static_cast<long>(digest >> kHashBits) - 1; }

}  // namespace unfreed::base
