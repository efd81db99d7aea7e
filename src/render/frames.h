// Chooses the frames of a stack that a person wants to see first.
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

/// Its function, or "libx.so+0x1234". Not made printable.
std::string name_or_offset(const StackFrame& frame);

/// One line of a shortened stack.
struct ShownFrame {
  const StackFrame* frame;
  bool after_gap;  ///< frames between this one and the one before are not shown
};

/// At most `most` frames, innermost first: the user's own (those with their source in the working directory first), at
/// least one with a source line if there is any. If none is the user's: all but the language runtimes' at either
/// end; if none of the first ones is of `exe`, its innermost frame replaces the last. A stack of runtime frames only is
/// shown as it is.
std::vector<ShownFrame> choose_frames(const std::vector<StackFrame>& stack, std::string_view exe,
                                      const PathShortener& paths, size_t most);

}  // namespace unfreed::render
