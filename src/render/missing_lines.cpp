#include "render/missing_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "names/code_owner.h"
#include "render/frames.h"
#include "render/function_names.h"
#include "render/text_parts.h"

namespace unfreed::render {

using report::Report;

namespace {

/// Programs that generate code, and how they write a map of it (symbolize/perf_map.h).
struct Generator {
  std::string_view program;
  std::string_view interpreter;  ///< its function that runs what is not compiled; "" none that is in a file
  std::string_view settings;
};
constexpr Generator kGenerators[] = {
    {"node", "Builtins_InterpreterEntryTrampoline", "--perf-basic-prof --interpreted-frames-native-stack"},
    {"java", "", "-XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit"},
    {"dotnet", "", "DOTNET_PerfMapEnabled=1 in its environment"},
};

bool is_nameless(const StackFrame& frame) {
  if (frame.function.empty()) return frame.module.empty();
  return std::any_of(std::begin(kGenerators), std::end(kGenerators),
                     [&](const Generator& one) { return frame.function == one.interpreter; });
}

}  // namespace

MissingLines::MissingLines(const Report& report, const TextOptions& options) : report_(report), options_(options) {
  for (const report::Call& call : report.stacks.calls)
    if (std::any_of(call.frames.begin(), call.frames.end(), [](const auto& frame) { return frame.line; }))
      with_lines_.insert(call.module);
}

void MissingLines::look_at(const Place& place) {
  std::vector<StackFrame> stack = place.stack();
  has_nameless_ = has_nameless_ || std::any_of(stack.begin(), stack.end(), is_nameless);
  std::vector<ShownFrame> shown = choose_frames(stack, report_.process.exe, options_.paths, options_.most_frames);
  bool has_line = std::any_of(shown.begin(), shown.end(), [](const ShownFrame& one) { return one.frame->line; });
  if (shown.empty() || has_line || shown[0].frame->module.empty() || has_lines(shown[0].frame->module)) return;
  bool is_named =
      std::any_of(shown.begin(), shown.end(), [](const ShownFrame& one) { return !one.frame->function.empty(); });
  auto [file, is_new] = files_.try_emplace(std::string(shown[0].frame->module), is_named);
  file->second = file->second || is_named;
}

std::vector<std::string> MissingLines::describe() const {
  std::vector<std::string> texts;
  for (const auto& [path, is_named] : files_) texts.push_back(describe_missing_lines(path, is_named));
  for (const Generator& one : kGenerators)
    if (has_nameless_ && base_name(report_.process.exe) == one.program)
      texts.push_back(fmt::format("no names for code that {} generates: start it with {}", one.program, one.settings));
  return texts;
}

std::string describe_missing_lines(std::string_view path, bool is_named) {
  std::string name = printable(base_name(path));
  const char* what = is_named ? "no source lines" : "no function names or source lines";
  if (report::is_system_module(path))
    return fmt::format("{} for {}: install the debug symbols of its package (Debian: …-dbgsym)", what, name);
  return fmt::format("{} for {}: build it with -g{}", what, name, is_named ? "" : ", and do not strip it");
}

std::vector<std::string> list_missing_lines(const std::vector<Place>& places, const Report& report,
                                            const TextOptions& options) {
  MissingLines missing(report, options);
  for (const Place& one : places)
    if (one.counts()) missing.look_at(one);
  return missing.describe();
}

}  // namespace unfreed::render
