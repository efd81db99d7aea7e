// POSIX timers.
#include <time.h>

#include "hook/real.h"
#include "track/handles.h"
#include "unwind/owning_call.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

namespace {

std::string_view clock_name(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
      return "CLOCK_REALTIME";
    case CLOCK_MONOTONIC:
      return "CLOCK_MONOTONIC";
    case CLOCK_PROCESS_CPUTIME_ID:
      return "CLOCK_PROCESS_CPUTIME_ID";
    case CLOCK_THREAD_CPUTIME_ID:
      return "CLOCK_THREAD_CPUTIME_ID";
    case CLOCK_BOOTTIME:
      return "CLOCK_BOOTTIME";
    default:
      return {};
  }
}

uint64_t id_of(timer_t timer) { return reinterpret_cast<uint64_t>(timer); }

}  // namespace

UNFREED_HOOK int timer_create(clockid_t clock, sigevent* event, timer_t* timer) noexcept {
  int result = unwind::owning([&] { return g_real.timer_create(clock, event, timer); });
  if (result == 0)
    track::handle_acquired({ledger::Kind::timer, id_of(*timer), 0, clock_name(clock)}, hook_number(Hook::timer_create),
                           caller_registers());
  else
    track::handle_not_acquired(ledger::Kind::timer, hook_number(Hook::timer_create), caller_registers());
  return result;
}

UNFREED_HOOK int timer_delete(timer_t timer) noexcept {
  return track::handle_release(
      ledger::Kind::timer, id_of(timer), [&] { return g_real.timer_delete(timer); },
      [](int result) { return result == 0; });
}
