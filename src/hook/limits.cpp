// Limits on the process's memory that the program sets itself, and memory that it locks: what unfreed has mapped must
// count for neither.
#include <sys/mman.h>
#include <sys/resource.h>

#include "hook/real.h"
#include "track/footprint.h"

using namespace unfreed;
using hook::g_real;

namespace {

/// `sets`: a limit is given, and it is this process's own.
template <class Call>
int limiting(int resource, bool sets, Call call) {
  bool matters = sets && (resource == RLIMIT_AS || resource == RLIMIT_DATA);
  if (matters) track::shrink_footprint();
  int result = call();
  if (matters && result == 0) track::footprint_limits_changed();
  return result;
}

bool is_own(pid_t pid) { return pid == 0 || pid == getpid(); }

}  // namespace

UNFREED_HOOK int setrlimit(__rlimit_resource_t resource, const rlimit* limit) noexcept {
  return limiting(resource, true, [&] { return g_real.setrlimit(resource, limit); });
}
UNFREED_HOOK int setrlimit64(__rlimit_resource_t resource, const rlimit64* limit) noexcept {
  return limiting(resource, true, [&] { return g_real.setrlimit64(resource, limit); });
}
UNFREED_HOOK int prlimit(pid_t pid, __rlimit_resource resource, const rlimit* limit, rlimit* before) noexcept {
  return limiting(resource, limit && is_own(pid), [&] { return g_real.prlimit(pid, resource, limit, before); });
}
UNFREED_HOOK int prlimit64(pid_t pid, __rlimit_resource resource, const rlimit64* limit, rlimit64* before) noexcept {
  return limiting(resource, limit && is_own(pid), [&] { return g_real.prlimit64(pid, resource, limit, before); });
}

UNFREED_HOOK int mlockall(int flags) noexcept {
  return track::lock_without_footprint(flags, [](int all) { return g_real.mlockall(all); });
}
UNFREED_HOOK int munlockall() noexcept {
  int result = g_real.munlockall();
  if (result == 0) track::footprint_unlocked();
  return result;
}
