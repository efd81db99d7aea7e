// Changes of the environment: test frameworks say there which test runs. What libc allocates for it is libc's.
#include <stdlib.h>

#include "hook/real.h"
#include "track/tests.h"
#include "unwind/owning_call.h"

using namespace unfreed;
using hook::g_real;
using unwind::owning;

UNFREED_HOOK int setenv(const char* name, const char* value, int overwrite) noexcept {
  bool changes_test = name && track::names_test(name) && (overwrite || !getenv(name));
  int result = owning([&] { return g_real.setenv(name, value, overwrite); });
  if (result == 0 && changes_test) track::test_begins(value);
  return result;
}
UNFREED_HOOK int unsetenv(const char* name) noexcept {
  int result = owning([&] { return g_real.unsetenv(name); });
  if (result == 0 && track::names_test(name)) track::test_may_end();
  return result;
}
UNFREED_HOOK int clearenv() noexcept {
  int result = owning([] { return g_real.clearenv(); });
  if (result == 0) track::test_may_end();
  return result;
}
UNFREED_HOOK int putenv(char* assignment) noexcept {
  int result = owning([&] { return g_real.putenv(assignment); });
  if (result != 0 || !track::names_test(assignment)) return result;
  if (const char* value = track::value_of_test(assignment))
    track::test_begins(value);
  else
    track::test_may_end();
  return result;
}
