#include "report/author.h"

#include <time.h>

#include <algorithm>

#include "base/syscall.h"
#include "base/time_text.h"

namespace unfreed::report {

namespace {

uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

/// By when the process had started, whatever program it was then; to the hundredth of a second that the kernel says.
uint64_t started_by(const ledger::Header& header) {
  constexpr uint64_t kTickNs = 10'000'000;
  if (!header.process_start_ticks || !base::may_call_system()) return header.started_realtime_ns;
  uint64_t since_boot = (header.process_start_ticks + 1) * kTickNs;
  // Rather too late than too early, should something come between the two: before that, others' reports are older.
  uint64_t up = read_clock(CLOCK_BOOTTIME);
  uint64_t boot = base::realtime_ns() - up;
  return std::min(boot + since_boot, header.started_realtime_ns);
}

}  // namespace

Author author_of(const ledger::View& view, std::span<char> started) {
  const ledger::Header& header = view.header();
  uint32_t flags = header.flags.load(std::memory_order_relaxed);
  return {.pid = header.pid,
          .started = base::format_time(header.started_realtime_ns, started),
          .began_realtime_ns = started_by(header),
          .run = view.text(header.run),
          .is_first = (flags & ledger::kHeaderFlagRoot) != 0};
}

}  // namespace unfreed::report
