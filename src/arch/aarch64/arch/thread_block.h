// What glibc keeps of a thread: AArch64, where struct pthread has no pointer to itself that it could be known by.
#pragma once

#include <cstdint>

namespace unfreed::arch {

inline constexpr uintptr_t kThreadBlockBytes = 1024;

/// Not known: the stack of a thread that has ended counts as one in use.
inline bool find_thread(uintptr_t, int&) { return false; }

inline uintptr_t thread_local_vector(uintptr_t) { return 0; }

}  // namespace unfreed::arch
