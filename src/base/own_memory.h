// All private memory of the runtime comes from here: mapped, zeroed, lazily backed, and left out of core dumps.
//
// It is many gigabytes away from the program's own mappings. The kernel would put each new mapping right below
// the last one: into the space that a stack (MAP_GROWSDOWN) needs to grow, or between two of the program's own. Apart,
// neighbours also merge: fewer mappings for a fork to copy.
//
//     … heap (brk) ▶ ……………… ◀ zeroed in fork children │ others ▶ ……… 64 GiB ……… ◀ program's mappings │ stack
//
// If the process's address space is limited (RLIMIT_AS, RLIMIT_DATA), it is used only while plenty is left.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.h"

namespace unfreed::base {

/// Maps `bytes` (rounded up to pages) for the life of the process. nullptr if the kernel has none, or if address space
/// is scarce. Lock-free, async-signal-safe.
void* own_memory(size_t bytes);

/// Maps `bytes` (whole pages) for the next calls of own_memory() to share: each that maps by itself takes four system
/// calls. Does nothing where address space is short. One thread at a time.
void reserve_own_memory(size_t bytes);

/// The same, and fork children find it zeroed (MADV_WIPEONFORK, Linux 4.14), whichever system call makes them. The
/// kernel then copies neither its page tables nor, later, the pages that the parent writes to. nullptr, too, if the
/// kernel cannot.
void* own_memory_zeroed_in_children(size_t bytes);

/// Sets that property: `start` and `bytes` are multiples of the page size. False: the kernel does not support it.
/// Async-signal-safe.
bool zero_in_fork_children(void* start, size_t bytes);

/// All mapped memory of the runtime but the ledger, which a scan of the process's memory must leave out: `index` from 0
/// until false. An entry with no bytes is free. Async-signal-safe; other threads may map meanwhile.
struct OwnMapping {
  uintptr_t address;
  size_t bytes;
};
bool own_mapping(size_t index, OwnMapping& out);
void reset_own_memory_after_fork();

/// Unmaps all of it: nothing will be tracked, and nobody uses it.
void give_back_all_own_memory();

template <class T>
T* own_array(size_t count) {
  return static_cast<T*>(own_memory(count * sizeof(T)));
}

/// An address range of `bytes` where nothing is mapped, and nobody else is expected to map anything.
uintptr_t own_addresses(size_t bytes);

/// These addresses are no longer used; those that were handed out last can be handed out again.
void return_own_addresses(uintptr_t address, size_t bytes);

/// Maps memory at exactly `address`, in whole pages. False: something is mapped there already, or the kernel has none.
bool own_memory_at(uintptr_t address, size_t bytes);
void give_back_own_memory(uintptr_t address, size_t bytes);

/// Where address space is short, a few megabytes are reserved for making reports: by then the program may have used up
/// the rest. One thread at a time.
void keep_spare_room();
void give_spare_room();

/// While it lives, that room is free to be mapped.
class SpareRoom {
 public:
  SpareRoom() { give_spare_room(); }
  ~SpareRoom() { keep_spare_room(); }
  SpareRoom(const SpareRoom&) = delete;
  SpareRoom& operator=(const SpareRoom&) = delete;
};

/// An array that is mapped from its beginning as far as needed. (An array of a few megabytes is mapped at once, as a
/// neighbour of others, if address space is plenty: one mapping less.)
class GrowingMemory {
 public:
  /// Reserves up to `most_bytes`. False: not even a first page could be mapped.
  bool prepare(size_t most_bytes) { return begin(most_bytes, false); }
  /// The same, zeroed in fork children, where as much of it is mapped as in the parent.
  bool prepare_zeroed_in_children(size_t most_bytes) { return begin(most_bytes, true); }
  void* start() const { return reinterpret_cast<void*>(start_); }
  /// Makes its first `bytes` usable. False: there is no memory. Async-signal-safe.
  bool grow_to(size_t bytes) { return bytes <= mapped_.load(std::memory_order_acquire) || map_up_to(bytes); }
  /// Unmaps it. Nobody uses it, or will grow it.
  void give_back();
  void reset_lock_after_fork();

 private:
  bool begin(size_t most_bytes, bool zeroed_in_children);
  bool map_up_to(size_t bytes);

  uintptr_t start_ = 0;
  size_t most_ = 0;
  bool is_zeroed_in_children_ = false;
  std::atomic<size_t> mapped_{0};
  Lock lock_;
};

}  // namespace unfreed::base
