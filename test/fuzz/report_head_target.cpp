// The input is the start of a file that has the name that a report is to get.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "check.h"
#include "report/report_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  report::ReportHead head = report::read_head(bytes);
  test::check((head.content == report::Content::nothing) == bytes.empty(), "nothing is nothing");
  test::check(head.pid >= 0, "pids are not negative");
  for (std::string_view text : {head.started, head.run})
    test::check(text.empty() || (text.data() >= bytes.data() && text.data() + text.size() <= bytes.data() + size),
                "texts are parts of what was given");
  return 0;
}
