// From names as the linker knows them to names as people write them.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::symbolize {

/// The C++ name, clone suffixes dropped; a name that is not mangled (or is not sane) comes back as it is.
std::string demangle(std::string_view linkage_name);

}  // namespace unfreed::symbolize
