// A function's name as the source has it, the same for all instances of a template: without template arguments,
// parameters and return type.
//
//     int pool::take<char const*>(std::vector<int> const&)      pool::take
//     A::run(int)::{lambda(int)#2}::operator()(int) const       A::run::{lambda#2}::operator()
//     <store::Log<u8> as core::ops::Drop>::drop                 <store::Log as core::ops::Drop>::drop
#pragma once

#include <string>
#include <string_view>

namespace unfreed::symbolize {

/// Of a demangled name, or one that is not mangled. Returns the name itself if its brackets do not match.
std::string plain_name(std::string_view name);

}  // namespace unfreed::symbolize
