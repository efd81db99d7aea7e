// Where the pieces of unfreed are, relative to the running command: in the build tree and installed alike.
#pragma once

#include <string>

namespace unfreed::cli {

/// Absolute path of libunfreed.so; "" if it is not found, and `tried` then lists the paths tried, for the user.
std::string find_runtime(std::string& tried);

/// The library's name for LD_PRELOAD: one by which glibc's loader finds it (ld.so(8), $LIB) and musl's the one for
/// musl, or none, if an installation or a build has one, else its path. Programs of musl would fail to start if they
/// were given the path.
std::string preload_name(const std::string& runtime);

/// Is there, beside the library, one for programs of musl?
bool has_musl_library();

}  // namespace unfreed::cli
