// Does the process keep memory from its fork children (MADV_DONTFORK, MADV_WIPEONFORK)? A copy of it, made to look at
// its memory, would miss that (grade/forked_memory.h).
#pragma once

#include <atomic>

namespace unfreed::track {

[[gnu::visibility("hidden")]] inline constinit std::atomic<bool> g_keeps_memory_from_children{false};

inline void note_kept_from_children() { g_keeps_memory_from_children.store(true, std::memory_order_relaxed); }
inline bool keeps_memory_from_children() { return g_keeps_memory_from_children.load(std::memory_order_relaxed); }

}  // namespace unfreed::track
