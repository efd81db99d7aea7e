#include "render/frames.h"

#include <algorithm>

#include "render/paths.h"
#include "symbolize/start_code.h"

namespace unfreed::render {

namespace {

bool is_runtime_module(std::string_view path) {
  static constexpr std::string_view kModules[] = {"libc.so",    "libc-",        "libstdc++.so", "libgcc_s.so",
                                                  "libpthread", "ld-linux",     "ld-musl",      "libunfreed.so",
                                                  "libc++.so",  "libc++abi.so", "ld.so"};
  std::string_view name = base_name(path);
  return std::any_of(std::begin(kModules), std::end(kModules),
                     [&](std::string_view module) { return name.starts_with(module); });
}

/// Where a stack's outermost part begins, the one that is the same in every program: libc's start code, and the
/// executable's own "_start" outside it, which a stripped program does not even name.
size_t start_of_start_code(const std::vector<StackFrame>& stack) {
  constexpr size_t kMostStartFrames = 5;
  size_t start = stack.size();
  for (size_t at = stack.size(); at-- > 0 && stack.size() - at <= kMostStartFrames;)
    if (symbolize::is_start_code(stack[at].function) || is_runtime_module(stack[at].module)) start = at;
  return start;
}

}  // namespace

bool is_runtime_frame(const StackFrame& frame) {
  if (is_runtime_module(frame.module)) return true;
  std::string_view function = frame.function;
  // Templates of the standard library are instantiated in the program's own module.
  return function.starts_with("std::") || function.starts_with("__gnu_cxx::") || function.starts_with("operator new") ||
         frame.file.find("/include/c++/") != std::string_view::npos;
}

std::vector<ShownFrame> choose_frames(const std::vector<StackFrame>& stack, std::string_view exe, size_t most) {
  size_t first = 0;
  size_t last = start_of_start_code(stack);
  while (first < last && is_runtime_frame(stack[first])) ++first;
  if (first == last) {
    first = 0;
    last = stack.size();
  }
  std::vector<ShownFrame> shown;
  auto is_own = [&](const StackFrame& frame) {
    return !is_runtime_frame(frame) && ((!exe.empty() && frame.module == exe) || !frame.file.empty());
  };
  for (size_t at = first; at < last && shown.size() < most; ++at) shown.push_back({&stack[at], false});
  bool has_own = std::any_of(shown.begin(), shown.end(), [&](const ShownFrame& one) { return is_own(*one.frame); });
  size_t next = first + shown.size();
  if (has_own || shown.empty()) return shown;
  auto own =
      std::find_if(stack.begin() + static_cast<ptrdiff_t>(next), stack.begin() + static_cast<ptrdiff_t>(last), is_own);
  if (own != stack.begin() + static_cast<ptrdiff_t>(last)) shown.back() = {&*own, true};
  return shown;
}

}  // namespace unfreed::render
