// Whose code a frame of a stack is. What a person can change comes first in a summary, and makes up what a call site is
// (evaluate/places.h); the machine's own libraries, the language's runtime and what headers of these bring in do not.
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

/// What is known of a frame; "" where nothing is.
struct CodeNames {
  std::string_view module;    ///< path
  std::string_view file;      ///< of the source
  std::string_view function;  ///< as shown, or as linked
};
CodeOwner owner_of(const CodeNames& names);

/// The code that every process and thread begins in, before anything of the program's own.
bool is_start_code(std::string_view function);
/// Installed with the system: not from a place where people keep programs of their own.
bool is_system_module(std::string_view path);
/// A header of the system or of a compiler, or the source of a language's library, or of a package that was fetched.
bool is_library_source(std::string_view file);
/// By its name, where the source is not known: C++'s standard library, Boost, Rust's.
bool is_library_function(std::string_view function);

}  // namespace unfreed::report
