// C++'s operator new when no hook is called for it: in a libstdc++ that was loaded after the start (by dlopen), whose
// callers are bound to it directly. It allocates through malloc.
#pragma once

#include <cstdint>
#include <span>

#include "unwind/frame.h"

namespace unfreed::track {

/// The forms of operator new; the order of `set_operator_new_hooks`.
inline constexpr size_t kNewForms = 8;

/// The acquiring functions' numbers: plain, plain nothrow, aligned, aligned nothrow; the same of operator new[].
void set_operator_new_hooks(const uint16_t (&hooks)[kNewForms]);

/// If libstdc++'s operator new made this call, it is the acquiring function: `frames` then start with its caller.
/// Async-signal-safe.
void skip_operator_new(std::span<const unwind::Frame>& frames, uint16_t& hook);

}  // namespace unfreed::track
