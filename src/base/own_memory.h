// All private memory of the runtime comes from here: mapped, zeroed, lazily backed, and registered, so that a later
// scan of the process's memory can leave it out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::base {

struct OwnMapping {
  uintptr_t address;
  size_t bytes;
};

/// Maps `bytes` (rounded up to pages) for the life of the process. nullptr when the kernel has none. Lock-free,
/// async-signal-safe.
void* own_memory(size_t bytes);

/// The same, and fork children find it zeroed (MADV_WIPEONFORK, Linux 4.14), by whatever system call they are made. The
/// kernel need not copy its page tables then, nor, later, the pages that the parent writes to. nullptr, too, where the
/// kernel cannot.
void* own_memory_zeroed_in_children(size_t bytes);

/// What makes memory so: `start` and `bytes` are multiples of the page size. False: the kernel cannot.
/// Async-signal-safe.
bool zero_in_fork_children(void* start, size_t bytes);

/// Adds a mapping made elsewhere (the ledger) to the registry.
void register_own_mapping(void* address, size_t bytes);

/// The registry: `index` from 0 until false.
bool own_mapping(size_t index, OwnMapping& out);

template <class T>
T* own_array(size_t count) {
  return static_cast<T*>(own_memory(count * sizeof(T)));
}

}  // namespace unfreed::base
