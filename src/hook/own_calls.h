// This library's own calls into libc. The program, or another library, may define functions that come before
// libc's: sanitizers and libfaketime do so for clock_gettime, memcpy, sigaction … Those are meant for the program; some
// cannot be called before their library is ready, and some call hooks.
#pragma once

namespace unfreed::hook {

/// Binds this library's calls to the functions that libc (or the loader) itself defines. Called while the loader
/// relocates this library, when the addresses that it has filled in are still writable.
void bind_own_calls();

/// Has the loader relocated the places that this library's calls go through? Calls nothing.
bool can_call();

}  // namespace unfreed::hook
