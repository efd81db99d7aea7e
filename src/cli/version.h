// What `unfreed --version` says.
#pragma once

#include <string>

namespace unfreed::cli {

/// Lines: the version; the commit, if it is a release; the compiler, the C library and the libraries it was built with.
std::string version_text();

}  // namespace unfreed::cli
