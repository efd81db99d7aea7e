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
  std::string_view output_text = output.cut() ? std::string_view() : output.text();  // no other name than was meant
  constexpr size_t kTexts = 5;
  size_t bytes = output_text.size() + program.size() + suppressions.size() + settings.rules.text.size() +
                 settings.report_at.text.size() + kTexts;
  auto* memory = static_cast<char*>(base::own_memory(bytes));  // zeroed
  if (!memory) return false;
  auto keep = [&memory](std::string_view text) {
    std::string_view kept(memory, text.size());
    if (!text.empty()) std::memcpy(memory, text.data(), text.size());
    memory += text.size() + 1;
    return kept;
  };
  g_settings.output = keep(output_text);
  g_settings.program = keep(program);
  g_settings.suppressions = keep(suppressions.text());
  report::ParseError error;
  report::parse_rules(keep(settings.rules.text), g_settings.rules, error);  // without one, as before
  report::parse_levels(keep(settings.report_at.text), g_settings.report_at, error);
  g_settings.exit_code = settings.exit_code;
  g_settings.quiet = settings.quiet;
  g_settings.force = settings.force;
  return true;
}

}  // namespace unfreed::runtime
