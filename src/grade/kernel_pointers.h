// Pointers that the program has given to the kernel to keep: the data of epoll_ctl(2), which is all that many a server
// has of a connection, and of timer_create(2). What io_uring keeps cannot be read, only whether it may keep something.
// Async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "grade/scratch.h"

namespace unfreed::grade {

/// "tfd:        5 events:       19 data:     7f1f0c000b70  pos:0 ino:12 sdev:e", of an epoll descriptor (proc(5),
/// /proc/PID/fdinfo). False: it is no such line.
bool parse_epoll_data(std::string_view line, uint64_t& data);
/// "signal: 60/00007fff86e452a8", of /proc/PID/timers.
bool parse_timer_data(std::string_view line, uint64_t& data);

/// Words of any number.
class KernelData {
 public:
  /// False: there is no memory.
  bool add(uint64_t data);
  template <class Visit>
  void each(Visit visit) const {
    for (size_t chunk = 0, left = count_; left > 0; ++chunk) {
      size_t count = left < chunk_entries(chunk) ? left : chunk_entries(chunk);
      for (size_t at = 0; at < count; ++at) visit(entries_[chunk][at]);
      left -= count;
    }
  }

 private:
  static constexpr size_t kChunks = 16;
  static constexpr size_t chunk_entries(size_t chunk) { return size_t{4096} << chunk; }

  Scratch memory_[kChunks];
  uint64_t* entries_[kChunks] = {};
  size_t chunk_ = 0;           ///< that the next one goes to
  size_t count_in_chunk_ = 0;  ///< in that one
  size_t count_ = 0;
};

/// They belong to the memory of one moment: what a program gives back afterwards it frees afterwards, too. So collect
/// them while its threads stand still. (They lead to the same epoll instances as the process's. A copy may not look at
/// the process's own once that has changed its user.)
class KernelPointers {
 public:
  /// In the process, as copies have no timers.
  void collect_timers();
  /// In the process or in a copy of it that has not closed its descriptors yet. Takes two free descriptor numbers.
  void collect();
  /// False: the kernel did not say, or not all, or there was no memory.
  bool is_whole() const { return are_timers_whole_ && is_whole_; }
  /// Is there an epoll descriptor at all?
  bool any_epoll() const { return any_epoll_; }
  /// May there be requests to io_uring that are not answered yet?
  bool any_in_flight() const { return any_in_flight_; }
  /// Each of epoll_ctl(2), of timer_create(2).
  const KernelData& epoll_data() const { return epoll_; }
  const KernelData& timer_data() const { return timers_; }

 private:
  bool collect_all();
  bool collect_from(int fd, void* buffer);
  void look_at_ring(int fd, void* buffer);

  KernelData epoll_, timers_;
  bool any_epoll_ = false, any_in_flight_ = false;
  bool is_whole_ = false, are_timers_whole_ = true;
};

}  // namespace unfreed::grade
