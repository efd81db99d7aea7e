// Which heap blocks are libc's (or a language runtime's) own affair: buffers of standard streams, the environment,
// locale and time zone data, what the loader keeps. They are held to the end in every program and are nobody's leak.
#pragma once

#include <span>
#include <string_view>

#include "unwind/frame.h"

namespace unfreed::track {

/// Judges by the frames (innermost first; `truncated`: outer ones are missing). Called once per new site; looks symbols
/// up, takes no lock.
///
/// What libc allocates for a stream, a directory or a thread is among them (unwind/owning_call.h): that is tracked by
/// itself.
/// `kFramesJudged` of them are enough.
inline constexpr size_t kFramesJudged = 16;
bool is_libc_owned(std::span<const unwind::Frame> frames, bool truncated);

/// The names of libc's functions that keep what is allocated within them.
std::span<const std::string_view> libc_caching_functions();

}  // namespace unfreed::track
