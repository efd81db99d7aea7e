// Where the pieces of unfreed are, relative to the running command: in the build tree and installed alike.
#pragma once

#include <string>

namespace unfreed::cli {

/// Absolute path of libunfreed.so; "" when it is nowhere, with `tried` (for the user) listing the places looked at.
std::string find_runtime(std::string& tried);

/// What LD_PRELOAD is to say for it: a name that only glibc's loader finds the library under (ld.so(8), $LIB), where an
/// installation or a build has one, else its path. Programs of musl's would end at once if they were given the path.
std::string preload_name(const std::string& runtime);

}  // namespace unfreed::cli
