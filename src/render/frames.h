// Which frames of a stack a person wants to see first.
#pragma once

#include <string>
#include <vector>

#include "render/places.h"

namespace unfreed::render {

/// Does the frame belong to libc, the loader or the C++ runtime (by its module, or by its name where it was inlined)?
bool is_runtime_frame(const StackFrame& frame);

/// One line of a shortened stack.
struct ShownFrame {
  const StackFrame* frame;
  bool after_gap;  ///< frames between this one and the one before are not shown
};

/// At most `most` frames, innermost first: without the language runtimes' frames at either end; where none of the
/// first ones is the program's own (`exe`, or a frame with a source line), its innermost own frame takes the last
/// place. A stack of nothing but runtime frames is shown as it is.
std::vector<ShownFrame> choose_frames(const std::vector<StackFrame>& stack, std::string_view exe, size_t most);

}  // namespace unfreed::render
