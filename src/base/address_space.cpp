#include "base/address_space.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>

#include "base/scan.h"
#include "base/syscall.h"

namespace unfreed::base {

namespace {

/// From here on a limit is far away: full tables and their heap index are a small part of it.
constexpr uint64_t kPlenty = uint64_t{16} << 30;
/// Of what is free, the runtime takes one part in so many.
constexpr uint64_t kPart = 8;

/// Bytes; RLIM_INFINITY: none. The lower one of the limits on all of the address space, and on private memory that may
/// be written to.
constinit std::atomic<uint64_t> g_limit{RLIM_INFINITY};
constinit std::atomic<bool> g_short{false};
constinit std::atomic<size_t> g_taken{0};
constinit std::atomic<size_t> g_refused_bytes{0};
constinit std::atomic<uint64_t> g_refused_until{0};  ///< CLOCK_MONOTONIC

bool is_limited() { return g_limit.load(std::memory_order_relaxed) != RLIM_INFINITY; }

uint64_t limit_of(int resource) {
  rlimit limit{};
  long result = raw_syscall(SYS_prlimit64, 0, resource, 0, reinterpret_cast<long>(&limit));
  return is_error(result) ? RLIM_INFINITY : limit.rlim_cur;
}

}  // namespace

bool read_statm(const char* path, Statm& out) {
  char text[160];
  long size = read_file(path, text, sizeof text);
  uint64_t fields[6] = {};
  std::string_view rest(text, size > 0 ? static_cast<size_t>(size) : 0);
  bool more = true;
  for (uint64_t& field : fields) parse_number(next_part(rest, ' ', more), field);
  out = {fields[0], fields[1], fields[2], fields[5]};
  return size > 0;
}

namespace {
Statm mapped_now() {
  Statm now;
  constexpr uint64_t kGuess = 8192;  // pages: without /proc
  return read_statm("/proc/self/statm", now) ? now : Statm{kGuess, kGuess, 0, kGuess};
}
}  // namespace

size_t limit_of_address_space() { return g_limit.load(std::memory_order_relaxed); }

size_t free_address_space() {
  uint64_t all = limit_of(RLIMIT_AS), data = limit_of(RLIMIT_DATA);
  if (all == RLIM_INFINITY && data == RLIM_INFINITY) return SIZE_MAX;
  constexpr uint64_t kPageBytes = 4096;
  Statm mapped = mapped_now();
  auto left = [](uint64_t limit, uint64_t pages) {
    return limit == RLIM_INFINITY ? SIZE_MAX : limit > pages * kPageBytes ? limit - pages * kPageBytes : 0;
  };
  return std::min(left(all, mapped.all), left(data, mapped.data));
}

void measure_address_space() {
  g_limit.store(std::min(limit_of(RLIMIT_AS), limit_of(RLIMIT_DATA)), std::memory_order_relaxed);
  g_short.store(free_address_space() < kPlenty, std::memory_order_relaxed);
}

bool is_address_space_short() { return g_short.load(std::memory_order_relaxed); }

bool may_take_address_space(size_t bytes) {
  if (!is_limited()) return true;
  // Who was refused asks again with every record: it takes a few system calls to answer.
  uint64_t now = coarse_monotonic_ns();
  if (bytes >= g_refused_bytes.load(std::memory_order_relaxed) && now < g_refused_until.load(std::memory_order_relaxed))
    return false;
  size_t taken = g_taken.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (taken <= free_address_space() / kPart) return true;
  return_address_space(bytes);
  constexpr uint64_t kRefusalNs = 20'000'000;
  g_refused_bytes.store(bytes, std::memory_order_relaxed);
  g_refused_until.store(now + kRefusalNs, std::memory_order_relaxed);
  return false;
}

void return_address_space(size_t bytes) {
  // What was taken while there was no limit was not counted.
  size_t taken = g_taken.load(std::memory_order_relaxed);
  while (!g_taken.compare_exchange_weak(taken, taken - std::min(taken, bytes), std::memory_order_relaxed)) {
  }
}

}  // namespace unfreed::base
