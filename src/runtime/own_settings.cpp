#include "runtime/own_settings.h"

#include <limits.h>

#include <cstring>

#include "base/own_memory.h"
#include "base/text.h"

namespace unfreed::runtime {

constinit OwnSettings g_settings{};

bool keep_settings(const report::Settings& settings, std::string_view program, std::string_view working_directory) {
  base::FixedText<PATH_MAX> output;
  base::FixedText<4096> suppressions;
  report::add_absolute_output(output, settings.output, working_directory);
  report::add_absolute_files(suppressions, settings.suppressions, working_directory);
  constexpr size_t kExtraTexts = 3;  // what is made absolute, and the program
  size_t bytes = output.size() + suppressions.size() + program.size() + report::kSettingCount + kExtraTexts;
  for (std::string_view text : settings.given) bytes += text.size();
  auto* memory = static_cast<char*>(base::own_memory(bytes));  // zeroed
  if (!memory) return false;
  auto keep = [&memory](std::string_view text) {
    std::string_view kept(memory, text.size());
    if (!text.empty()) std::memcpy(memory, text.data(), text.size());
    memory += text.size() + 1;
    return kept;
  };
  auto apply = [](std::string_view variable, std::string_view text) {
    report::SettingError error{};
    report::apply_setting(variable, text, g_settings, error);  // without one, as before
  };
  for (size_t row = 0; row < report::kSettingCount; ++row)
    apply(report::setting_rows()[row].variable, keep(settings.given[row]));
  apply("UNFREED_OUTPUT", keep(output.text()));
  apply("UNFREED_SUPPRESSIONS", keep(suppressions.text()));
  if (output.cut()) g_settings.output = {};  // no other name than was meant
  g_settings.program = keep(program);
  return true;
}

}  // namespace unfreed::runtime
