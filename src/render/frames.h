// Which frames of a stack a person wants to see first.
#pragma once

#include <string>
#include <vector>

#include "render/paths.h"
#include "render/places.h"

namespace unfreed::render {

/// Is it the user's own code (names/code_owner.h)?
bool is_own_frame(const StackFrame& frame);
/// Does the frame belong to libc, the loader or a language's library (by its module, or by its name where it was
/// inlined)?
bool is_runtime_frame(const StackFrame& frame);

/// One line of a shortened stack.
struct ShownFrame {
  const StackFrame* frame;
  bool after_gap;  ///< frames between this one and the one before are not shown
};

/// At most `most` frames, innermost first. The user's own, those whose source lies in the working directory before
/// others, and at least one with a source line if there is any. Where no frame is the user's: without the language runtimes' frames at either
/// end; if none of the first ones is of `exe`, its innermost frame takes the last place. A stack of nothing but runtime
/// frames is shown as it is.
std::vector<ShownFrame> choose_frames(const std::vector<StackFrame>& stack, std::string_view exe,
                                      const PathShortener& paths, size_t most);

}  // namespace unfreed::render
