// Decides whose code a frame of a stack is. Code that the user can change comes first in a summary and identifies call
// sites (evaluate/places.h); the system's libraries, the language's runtime and what their headers add do not.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::report {

enum class CodeOwner : uint8_t {
  program,  ///< the user's: the program's, or that of a library of its own
  library,  ///< the system's, the language's
  start,    ///< what every process and thread begins in
};

/// What is known of a frame; "" for what is not.
struct CodeNames {
  std::string_view module;    ///< path
  std::string_view file;      ///< of the source
  std::string_view function;  ///< as shown, or as linked
};
CodeOwner owner_of(const CodeNames& names);

/// The code in which every process and thread begins, before any of the program's own.
bool is_start_code(std::string_view function);
/// Is it installed with the system, rather than where people keep programs of their own?
bool is_system_module(std::string_view path);
/// Is it a header of the system or of a compiler, or the source of a language's library or of a fetched package?
bool is_library_source(std::string_view file);
/// By its name, if the source is not known: C++'s standard library, Boost, Rust's.
bool is_library_function(std::string_view function);
/// Code that a virtual machine generated from a library of its language (Java's, .NET's) or for itself, by its name as
/// the machine gives it to profilers.
bool is_library_method(std::string_view method);

}  // namespace unfreed::report
