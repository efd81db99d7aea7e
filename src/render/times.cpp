#include "render/times.h"

#include <ctime>
#include <string>

namespace unfreed::render {

int64_t realtime_ns(report::Text time) {
  std::tm parts = {};
  std::string copy(time);
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return 0;
  int64_t fraction = 0;
  int64_t unit = 1'000'000'000;
  if (*rest == '.')
    while (++rest, *rest >= '0' && *rest <= '9' && unit > 1) fraction += (*rest - '0') * (unit /= 10);
  int64_t nanoseconds = 0;
  bool is_too_late = __builtin_mul_overflow(int64_t{timegm(&parts)}, int64_t{1'000'000'000}, &nanoseconds) ||
                     __builtin_add_overflow(nanoseconds, fraction, &nanoseconds);
  return is_too_late ? 0 : nanoseconds;
}

}  // namespace unfreed::render
