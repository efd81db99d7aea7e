#include "track/root_regions.h"

#include <cstddef>

#include "base/lock.h"

namespace unfreed::track {

namespace {
constexpr size_t kMost = 1024;
constinit base::Lock g_lock;
constinit RootRegion g_regions[kMost]{};
size_t g_count;
}  // namespace

bool add_root_region(RootRegion region) {
  base::Hold hold(g_lock);
  if (g_count == kMost || region.low >= region.high) return false;
  g_regions[g_count++] = region;
  return true;
}

bool remove_root_region(RootRegion region) {
  base::Hold hold(g_lock);
  for (size_t at = 0; at < g_count; ++at) {
    if (g_regions[at].low != region.low || g_regions[at].high != region.high) continue;
    g_regions[at] = g_regions[--g_count];
    return true;
  }
  return false;
}

void reset_root_regions_after_fork() { g_lock.reset(); }

// No lock: where this is called no other thread runs, or one may have been stopped while it held the lock.
void each_root_region(void* context, void (*visit)(void*, RootRegion)) {
  for (size_t at = 0; at < g_count; ++at) visit(context, g_regions[at]);
}

}  // namespace unfreed::track
