#include "render/frames.h"

#include <fmt/format.h>

#include <algorithm>

#include "elf/runtime_library.h"
#include "names/code_owner.h"
#include "render/paths.h"

namespace unfreed::render {

namespace {

bool is_runtime_module(std::string_view path) {
  std::string_view name = base_name(path);
  return elf::runtime_library(name) != elf::RuntimeLibrary::none || elf::is_own_library(name);
}

/// Where a stack's outermost part begins, the one that is the same in every program: libc's start code, and the
/// executable's own "_start" outside it, which a stripped program does not even name.
size_t start_of_start_code(const std::vector<StackFrame>& stack) {
  constexpr size_t kMostStartFrames = 5;
  size_t start = stack.size();
  for (size_t at = stack.size(); at-- > 0 && stack.size() - at <= kMostStartFrames;)
    if (report::is_start_code(stack[at].function) || is_runtime_module(stack[at].module)) start = at;
  return start;
}

}  // namespace

bool is_own_frame(const StackFrame& frame) {
  return report::owner_of({frame.module, frame.file, frame.function}) == report::CodeOwner::program;
}

bool is_runtime_frame(const StackFrame& frame) {
  return is_runtime_module(frame.module) || report::is_library_function(frame.function) ||
         report::is_library_source(frame.file);
}

namespace {

/// Of a program that is the user's: own frames alone.
std::vector<ShownFrame> choose_own(const std::vector<StackFrame>& stack, const PathShortener& paths, size_t most) {
  std::vector<size_t> own;
  for (size_t at = 0; at < stack.size(); ++at)
    if (is_own_frame(stack[at])) own.push_back(at);
  // Code of other folders (a bundled header) does not come before that of the working directory.
  auto here = std::find_if(own.begin(), own.end(), [&](size_t at) { return paths.is_here(stack[at].file); });
  if (here != own.end()) own.erase(own.begin(), here);
  auto has_line = [&](size_t at) { return stack[at].line != 0; };
  size_t count = std::min(own.size(), most);
  auto end = own.begin() + static_cast<ptrdiff_t>(count);
  auto with_line = std::find_if(own.begin(), own.end(), has_line);
  if (count && with_line >= end && with_line != own.end()) *(end - 1) = *with_line;
  std::vector<ShownFrame> shown;
  for (size_t at = 0; at < count; ++at) shown.push_back({&stack[own[at]], at > 0 && own[at] != own[at - 1] + 1});
  return shown;
}

}  // namespace

std::string name_or_offset(const StackFrame& frame) {
  return frame.function.empty() ? fmt::format("{}+{:#x}", base_name(frame.module), frame.offset)
                                : std::string(frame.function);
}

std::vector<ShownFrame> choose_frames(const std::vector<StackFrame>& stack, std::string_view exe,
                                      const PathShortener& paths, size_t most) {
  if (std::vector<ShownFrame> own = choose_own(stack, paths, most); !own.empty()) return own;
  size_t first = 0;
  size_t last = start_of_start_code(stack);
  while (first < last && is_runtime_frame(stack[first])) ++first;
  if (first == last) {
    first = 0;
    last = stack.size();
  }
  std::vector<ShownFrame> shown;
  for (size_t at = first; at < last && shown.size() < most; ++at) shown.push_back({&stack[at], false});
  auto is_programs = [&](const StackFrame& frame) { return !exe.empty() && frame.module == exe; };
  bool has_any =
      std::any_of(shown.begin(), shown.end(), [&](const ShownFrame& one) { return is_programs(*one.frame); });
  auto next = stack.begin() + static_cast<ptrdiff_t>(first + shown.size());
  auto end = stack.begin() + static_cast<ptrdiff_t>(last);
  if (has_any || shown.empty()) return shown;
  if (auto found = std::find_if(next, end, is_programs); found != end) shown.back() = {&*found, true};
  return shown;
}

}  // namespace unfreed::render
