// What this library itself calls in libc. The program, or another library, may have put functions of its own before
// libc's: sanitizers and libfaketime do with clock_gettime, memcpy, sigaction … Those are meant for the program; some
// cannot be called before their library is ready, and some call hooks.
#pragma once

namespace unfreed::hook {

/// Binds this library's calls to the functions that libc (or the loader) itself defines. Called while the loader
/// relocates this library, when the places that it has filled in can still be written to.
void bind_own_calls();

}  // namespace unfreed::hook
