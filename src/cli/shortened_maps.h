// Programs and debug information are mapped to be read, and whoever owns such a file may cut it short meanwhile: a
// touch of what has gone is SIGBUS. It reads as zeros instead, as a damaged file might, and what reads it must bear
// that anyway.
#pragma once

#include <signal.h>

namespace unfreed::cli {

/// In a handler of SIGBUS: puts zeros where the touch was. False: it was something else.
bool fill_shortened_map(const siginfo_t& info);

/// Takes SIGBUS for that, for the process's life.
void outlive_shortened_maps();

}  // namespace unfreed::cli
