// Blocks within libc that turn out to be libc's own (runtime/libc_caches.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ledger/layout.h"

namespace unfreed::track {

/// Does any site have live blocks that may be libc's or its caller's? `counts`: by site.
bool has_undecided_blocks(std::span<const ledger::Counts> counts);

/// Counts those of `blocks` that libc allocated as libc's own. `counts`: by site, as of now; overwritten.
/// Async-signal-safe.
void give_to_libc(std::span<const uintptr_t> blocks, std::span<ledger::Counts> counts);

}  // namespace unfreed::track
