// Memory that the program has named as a place where pointers to blocks lie (__lsan_register_root_region).
// Thread-safe, async-signal-safe.
#pragma once

#include <cstdint>

namespace unfreed::track {

struct RootRegion {
  uintptr_t low;
  uintptr_t high;
};

/// False: there is no room for more.
bool add_root_region(RootRegion region);
/// False: it is not known.
bool remove_root_region(RootRegion region);

/// In a fork child: no other thread uses them.
void reset_root_regions_after_fork();

void each_root_region(void* context, void (*visit)(void* context, RootRegion region));
template <class Visit>
void each_root_region(Visit visit) {
  each_root_region(&visit, [](void* context, RootRegion region) { (*static_cast<Visit*>(context))(region); });
}

}  // namespace unfreed::track
