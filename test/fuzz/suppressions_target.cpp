// The input is a name, a line feed, and the text of a suppression file.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "check.h"
#include "settings/suppressions.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  size_t end = input.find('\n');
  std::string_view name = input.substr(0, end);
  std::string_view text = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  report::Suppression suppressions[64];
  size_t count = 0;
  size_t line = 0;
  report::ParseError error;
  if (!report::parse_suppressions(text, suppressions, count, error, line)) {
    test::check(error.message && line > 0, "a refused file says why and where");
    test::check(error.position <= text.size() && error.length <= text.size() - error.position,
                "an error lies within the file");
  }
  test::check(count <= 64, "no more suppressions than fit");
  for (size_t index = 0; index < count; ++index) report::matches(suppressions[index], name);
  report::matches_pattern(name, text);
  test::check(report::matches_pattern("*", name), "a star matches everything");
  return 0;
}
