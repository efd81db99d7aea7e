// From names as the linker knows them to names as people write them.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::symbolize {

/// `linkage_name` without the suffixes that compilers put on their copies of a function (.constprop.0, .isra.0,
/// .part.1, .cold, .llvm.1234 …).
std::string_view without_clone_suffix(std::string_view linkage_name);

/// The C++ name, clone suffixes dropped; a name that is not mangled (or is not sane) comes back as it is.
std::string demangle(std::string_view linkage_name);

}  // namespace unfreed::symbolize
