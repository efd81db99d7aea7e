// The input is a report's JSON. What can be read is written and read again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "check.h"
#include "render/json.h"
#include "render/read_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  base::Arena arena;
  report::Report report;
  std::string error;
  if (!render::read_json({reinterpret_cast<const char*>(data), size}, arena, report, error)) {
    test::check(!error.empty() && error.find('\n') == std::string::npos, "a refused report has one line that says why");
    return 0;
  }
  std::string written = render::write_json(report, report::StackForm::file);
  base::Arena other;
  report::Report again;
  test::check(render::read_json(written, other, again, error), "what was written can be read");
  test::check(render::write_json(again, report::StackForm::file) == written, "reading and writing change nothing");
  return 0;
}
