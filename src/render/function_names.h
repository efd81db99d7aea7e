// Functions' names as a person would say them, for summaries: the standard library's own words for its templates,
// without the arguments that nobody writes. Reports keep the names in full.
//
//     std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, int, std::less<…>, …>
//     std::map<std::string, int>
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

std::string short_function(std::string_view name);

}  // namespace unfreed::render
