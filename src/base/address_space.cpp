#include "base/address_space.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>

#include "base/syscall.h"

namespace unfreed::base {

namespace {

/// From here on a limit is far away: full tables and their heap index are a small part of it.
constexpr uint64_t kPlenty = uint64_t{16} << 30;
/// Of what is free, the runtime takes one part in so many.
constexpr uint64_t kPart = 8;

// Bytes; RLIM_INFINITY: none. Of all of the address space, and of private memory that may be written to.
constinit std::atomic<uint64_t> g_limit_all{RLIM_INFINITY};
constinit std::atomic<uint64_t> g_limit_data{RLIM_INFINITY};
constinit std::atomic<bool> g_short{false};
constinit std::atomic<size_t> g_taken{0};

bool is_limited() {
  return g_limit_all.load(std::memory_order_relaxed) != RLIM_INFINITY ||
         g_limit_data.load(std::memory_order_relaxed) != RLIM_INFINITY;
}

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
  size_t field = 0;
  for (long at = 0; at < size && field < 6; ++at) {
    if (text[at] >= '0' && text[at] <= '9')
      fields[field] = fields[field] * 10 + static_cast<uint64_t>(text[at] - '0');
    else
      ++field;
  }
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

size_t free_address_space() {
  if (!is_limited()) return SIZE_MAX;
  uint64_t all = g_limit_all.load(std::memory_order_relaxed), data = g_limit_data.load(std::memory_order_relaxed);
  constexpr uint64_t kPageBytes = 4096;
  Statm mapped = mapped_now();
  auto left = [](uint64_t limit, uint64_t pages) {
    return limit == RLIM_INFINITY ? SIZE_MAX : limit > pages * kPageBytes ? limit - pages * kPageBytes : 0;
  };
  return std::min(left(all, mapped.all), left(data, mapped.data));
}

void measure_address_space() {
  g_limit_all.store(limit_of(RLIMIT_AS), std::memory_order_relaxed);
  g_limit_data.store(limit_of(RLIMIT_DATA), std::memory_order_relaxed);
  g_short.store(free_address_space() < kPlenty, std::memory_order_relaxed);
}

bool is_address_space_short() { return g_short.load(std::memory_order_relaxed); }

bool may_take_address_space(size_t bytes) {
  if (!is_limited()) return true;
  size_t taken = g_taken.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (taken <= free_address_space() / kPart) return true;
  return_address_space(bytes);
  return false;
}

void return_address_space(size_t bytes) { g_taken.fetch_sub(bytes, std::memory_order_relaxed); }

}  // namespace unfreed::base
