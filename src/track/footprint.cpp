#include "track/footprint.h"

#include <sys/resource.h>

#include "base/address_space.h"
#include "base/keep_errno.h"
#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::track {

namespace {

constinit std::atomic<bool> g_future_locked{false};

struct Range {
  uintptr_t start;
  uintptr_t end;
};

bool is_own(const Range& range) {
  auto holds = [&](uintptr_t start, size_t bytes) { return range.start < start + bytes && start < range.end; };
  const ledger::Writer& writer = g_tracker.writer;
  if (writer && holds(reinterpret_cast<uintptr_t>(writer.base()), writer.header().file_bytes)) return true;
  base::OwnMapping mapping;
  for (size_t index = 0; base::own_mapping(index, mapping); ++index)
    if (mapping.bytes && holds(mapping.address, mapping.bytes)) return true;
  return false;
}

/// Reads lines of /proc/self/maps, of which the range at the beginning matters.
class MapsReader {
 public:
  MapsReader() : file_(base::open_file("/proc/self/maps", O_RDONLY)) {}
  ~MapsReader() {
    if (file_ >= 0) base::close_file(file_);
  }
  MapsReader(const MapsReader&) = delete;
  MapsReader& operator=(const MapsReader&) = delete;
  bool is_open() const { return file_ >= 0; }

  bool next(Range& out) {
    char c = 0;
    return number(out.start) && number(out.end) && [&] {
      while (c != '\n')
        if (!get(c)) return false;
      return true;
    }();
  }

 private:
  bool get(char& c) {
    if (at_ == size_) {
      do size_ = base::raw_syscall(SYS_read, file_, reinterpret_cast<long>(buffer_), sizeof buffer_);
      while (size_ == -4 /* EINTR */);
      at_ = 0;
      if (size_ <= 0) {
        size_ = 0;
        return false;
      }
    }
    c = buffer_[at_++];
    return true;
  }
  /// A hexadecimal number, and the character after it.
  bool number(uintptr_t& out) {
    out = 0;
    for (char c; get(c);) {
      if (c >= '0' && c <= '9')
        out = out << 4 | static_cast<uintptr_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        out = out << 4 | static_cast<uintptr_t>(c - 'a' + 10);
      else
        return true;
    }
    return false;
  }

  long file_;
  long size_ = 0;
  long at_ = 0;
  char buffer_[2048];
};

/// Calls `visit(range)` for each mapping. False: there is no /proc.
template <class Visit>
bool each_mapping(Visit visit) {
  MapsReader reader;
  if (!reader.is_open()) return false;
  for (Range range; reader.next(range);) visit(range);
  return true;
}

}  // namespace

void shrink_footprint() {
  base::KeepErrno keep;
  if (g_tracker.phase.load(std::memory_order_acquire) != Phase::tracking || !base::may_call_system()) return;
  adopt_fork_if_needed();
  if (g_tracker.phase.load(std::memory_order_acquire) == Phase::tracking) g_tracker.writer.unmap_unused();
}

void footprint_limits_changed() {
  base::KeepErrno keep;
  base::measure_address_space();
  base::keep_spare_room();
}

bool memlock_limit_suffices() {
  rlimit limit{};
  if (base::is_error(base::raw_syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, reinterpret_cast<long>(&limit))))
    return false;
  if (limit.rlim_cur == RLIM_INFINITY) return true;
  uint64_t bytes = 0;
  bool is_known = each_mapping([&](const Range& range) { bytes += is_own(range) ? 0 : range.end - range.start; });
  return is_known && bytes <= limit.rlim_cur;
}

bool lock_programs_mappings(bool on_fault) {
  constexpr long kOnFault = 1;  // MLOCK_ONFAULT
  return each_mapping([&](const Range& range) {
    if (is_own(range)) return;
    auto start = static_cast<long>(range.start), bytes = static_cast<long>(range.end - range.start);
    if (on_fault)
      base::raw_syscall(SYS_mlock2, start, bytes, kOnFault);
    else
      base::raw_syscall(SYS_mlock, start, bytes);
  });
}

void unlock_own_mappings() {
  each_mapping([](const Range& range) {
    if (is_own(range))
      base::raw_syscall(SYS_munlock, static_cast<long>(range.start), static_cast<long>(range.end - range.start));
  });
}

void note_future_locked(bool is_locked) {
  g_future_locked.store(is_locked, std::memory_order_relaxed);
  base::set_future_locked(is_locked);
}

bool is_future_locked() { return g_future_locked.load(std::memory_order_relaxed); }

void footprint_unlocked() { note_future_locked(false); }

}  // namespace unfreed::track
