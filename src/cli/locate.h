// Where the pieces of unfreed are, relative to the running command: in the build tree and installed alike.
#pragma once

#include <string>

namespace unfreed::cli {

/// Absolute path of libunfreed.so; "" when it is nowhere, with `tried` (for the user) listing the places looked at.
std::string find_runtime(std::string& tried);

}  // namespace unfreed::cli
