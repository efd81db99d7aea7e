// unfreed attach --preload: the library is loaded into a process that runs already.
#pragma once

#include "cli/settings_input.h"

namespace unfreed::cli {

/// Process `pid`, of which nothing is known that speaks against it being traced. Returns the exit status.
int attach_by_preload(int pid, const SettingsInput& input);

}  // namespace unfreed::cli
