// The input is an environment, one variable a line.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "settings/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  std::vector<std::string> lines(1);
  for (size_t at = 0; at < size; ++at) {
    if (data[at] == '\n')
      lines.emplace_back();
    else if (data[at] != '\0')
      lines.back() += static_cast<char>(data[at]);
  }
  std::vector<const char*> environment;
  for (const std::string& line : lines) environment.push_back(line.c_str());
  environment.push_back(nullptr);

  report::Settings settings;
  report::SettingError errors[report::kMaxSettingErrors];
  size_t count = report::read_settings(environment.data(), settings, errors);
  test::check(count <= report::kMaxSettingErrors, "no more errors than fit");
  for (size_t index = 0; index < count; ++index) {
    char line[160];
    test::check(report::describe(errors[index], line) < sizeof line, "a description fits");
  }
  test::check(settings.exit_code >= 1 && settings.exit_code <= 255, "exit codes stay in their range");
  test::check(settings.depth >= 1 && settings.depth <= report::kMaxDepth, "depths stay in their range");
  test::check(settings.report_signal >= 0 && settings.report_signal <= 64, "signals stay in their range");
  report::is_wanted(settings, "program");
  char path[256];
  size_t length = report::expand_output(settings.output, "/tmp", "program", 42, 1, path);
  test::check(length == 0 || path[0] == '/' || settings.output == report::kStandardOutput, "output paths are absolute");
  return 0;
}
