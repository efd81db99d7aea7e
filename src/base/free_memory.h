// How much memory is left before somebody is killed for it.
#pragma once

#include <cstdint>

namespace unfreed::base {

/// Bytes, at most, that this process may still come to use: by what the machine has available, and the limit of its
/// control group (that itself, not those above). UINT64_MAX: not known. Async-signal-safe.
uint64_t free_memory();

}  // namespace unfreed::base
