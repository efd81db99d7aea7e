// The input is the text of a /tmp/perf-PID.map.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "check.h"
#include "symbolize/perf_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  std::string text(reinterpret_cast<const char*>(data), size);
  symbolize::PerfMap map(text);
  // The addresses that the text names, and those around them.
  for (size_t at = 0, end = 0; end < text.size(); at = end + 1) {
    uint64_t address = std::strtoull(text.c_str() + at, nullptr, 16);
    for (uint64_t one : {address - 1, address, address + 1})
      test::check(map.resolve(one).size() <= 1, "code is one function");
    end = std::min(text.find('\n', at), text.size());
  }
  symbolize::split_perf_name(text);
  return 0;
}
