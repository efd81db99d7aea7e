// The input is names, one a line. Each has a text of bounded size, after a bounded time.
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "check.h"
#include "names/function_names.h"

namespace {
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  // A new one each time, as one that has met many names without end gives up all names.
  auto names = std::make_unique<report::FunctionNames>();
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    std::string_view name = text.substr(0, text.find('\n'));
    text.remove_prefix(name.size() < text.size() ? name.size() + 1 : text.size());
    double start = processor_seconds();
    report::FunctionName readable = names->of(name);
    test::check(processor_seconds() - start < 0.2, "a name ends in milliseconds");
    for (std::string_view one : {readable.full, readable.shown})
      test::check(one.size() <= report::Demangler::kLongestText || name.starts_with(one), "the text has its bounds");
    if (!report::is_mangled(name)) test::check(name.starts_with(readable.full), "what is not mangled stays as it is");
  }
  return 0;
}
