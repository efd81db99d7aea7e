// The input is names, one a line.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "check.h"
#include "report/demangle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  static auto demangler = std::make_unique<report::Demangler>();
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    std::string_view name = text.substr(0, text.find('\n'));
    text.remove_prefix(name.size() < text.size() ? name.size() + 1 : text.size());
    std::string_view readable = demangler->demangle(name);
    test::check(readable.size() <= 8192 || name.starts_with(readable), "the text has its bounds");
    if (!name.starts_with("_Z")) test::check(name.starts_with(readable), "a name of another language stays as it is");
  }
  return 0;
}
