// What glibc keeps of a thread: AArch64, where struct pthread has no pointer to itself that it could be known by.
#pragma once

#include <cstdint>

namespace unfreed::arch {

/// As much of it as is_thread_over() reads.
inline constexpr uintptr_t kThreadBlockBytes = 1024;

/// Not known: the stack of a thread that has ended counts as one in use.
inline bool is_thread_over(uintptr_t) { return false; }

}  // namespace unfreed::arch
