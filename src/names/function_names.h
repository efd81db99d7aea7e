// Functions' names as reports show them, in every format and from either half: the demangled name, with C++'s in the
// standard library's own words, without the default template arguments that nobody writes.
//
//     _ZN7service3Log5writeERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE
//     service::Log::write(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&)
//     service::Log::write(std::string const&)
//
//     main::{lambda(int)#1}::operator()(int) const
//     main::{lambda#1}
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "names/demangle.h"

namespace unfreed::report {

/// Writes a demangled C++ name as above. Returns the used part of `out`, or `name` itself if nothing changes, its
/// brackets do not match, or there is no room. One pass; allocation-free.
std::string_view spell_function(std::string_view name, std::span<char> out);

/// The operator that `text` begins with, as it follows the word "operator"; "" for those that are words or types.
std::string_view operator_symbol(std::string_view text);

struct FunctionName {
  std::string_view shown;
  std::string_view full;  ///< as c++filt has it; what other tools' suppressions are written in
};

/// The memory for one name at a time, some 230 kB: not for a stack. Async-signal-safe; one in use in a process.
class FunctionNames {
 public:
  /// Of a name as it is linked; one that is not mangled (DWARF's, C's) is spelled, too. Valid until the next call.
  FunctionName of(std::string_view linkage_name);

 private:
  Demangler demangler_;
  char spelled_[Demangler::kLongestText];
};

}  // namespace unfreed::report
