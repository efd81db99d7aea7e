// Which tests acquired what a site holds.
#include <algorithm>

#include "report/report.h"

namespace unfreed::report {

bool has_more(const TestShare& left, const TestShare& right) {
  if (left.count() != right.count()) return left.count() > right.count();
  return left.bytes != right.bytes ? left.bytes > right.bytes : left.test < right.test;
}

void Site::take_tests(bool all_are_listed, uint64_t live_before) {
  if (!all_are_listed && live != live_before) {  // whose are missing is not known
    tests.clear();
    tests_omitted = 0;
    other_tests.reset();
    return;
  }
  for (TestShare& share : tests) {
    if (all_are_listed) share = {share.test};
    if (!running) share.running = 0;
    for (const Object& one : objects) {
      bool is_running = one.state == "running";
      if (!all_are_listed || one.test != share.test || one.state == "unknown" || (is_running && !running)) continue;
      share.add({{}, !is_running, is_running, one.bytes.value_or(0)});
    }
  }
  std::sort(tests.begin(), tests.end(), has_more);
  uint32_t kept = 0;
  while (kept < tests.size() && tests[kept].count()) ++kept;
  tests.shrink(kept);
  if (other_tests && !running) other_tests->running = 0;
}

}  // namespace unfreed::report
