// Recognises heap blocks that libc (or a language runtime) keeps for itself: buffers of standard streams, the
// environment, locale and time zone data, the loader's data. Every program holds them to its end; they are no leaks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "unwind/frame.h"

namespace unfreed::track {

enum class HeapOwner : uint8_t {
  program,
  libc,
  undecided,  ///< libc allocates here, for itself or for its caller: it tells which (track/libc_caches.h)
};

/// Decides by the frames (innermost first; `truncated`: outer ones are missing). Called once per new site; looks up
/// symbols, takes no lock.
///
/// Blocks that libc allocates for a stream, a directory or a thread are libc's (unwind/owning_call.h): the stream,
/// directory or thread itself is tracked.
/// `kFramesJudged` of them are enough.
inline constexpr size_t kFramesJudged = 16;
HeapOwner heap_owner(std::span<const unwind::Frame> frames, bool truncated);

/// Names of libc functions that keep what is allocated within them.
std::span<const std::string_view> libc_caching_functions();

}  // namespace unfreed::track
