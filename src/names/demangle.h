// Demangles names of functions: C++ (Itanium C++ ABI) and Rust (legacy and v0), by libiberty's demanglers. The text is
// that of GNU c++filt.
//
// A linked name is untrusted input: 34 characters can produce a text of 10^15 characters, or as many steps that produce
// nothing. So the demanglers run under a BoundedCall, and write into a buffer of fixed size. Nothing is allocated
// through the process: memory that they request from malloc (Rust's names beyond ASCII) comes from a small arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bounded_call.h"

namespace unfreed::report {

enum class Language : uint8_t { unknown, cpp, rust };

/// A name, and its mangling scheme: `unknown` is a name that is not mangled or cannot be demangled, and stays as it is.
struct DemangledName {
  std::string_view text;
  Language language = Language::unknown;
};

/// The name without the suffixes that compilers add to copies of a function (.isra.0, .cold …).
std::string_view without_clone_suffix(std::string_view linkage_name);

/// Does this look like a linked name of C++ or Rust?
bool is_mangled(std::string_view name);

/// The memory for one demangling at a time, some 160 kB: not for a stack. Async-signal-safe; one in use in a process.
class Demangler {
 public:
  /// The readable name, or `linkage_name` itself; without clone suffix. Valid until the next call.
  DemangledName demangle(std::string_view linkage_name);

  /// Longer names stay as they are. In C++'s, stack is used by the square of the length.
  static constexpr size_t kLongestName = 16 * 1024;
  static constexpr size_t kLongestCppName = 4096;
  static constexpr size_t kLongestText = 64 * 1024;
  /// How many names may run out of time. After that none is demangled: 0.5 s in all.
  static constexpr uint32_t kMostGivenUp = 25;

  /// libiberty's malloc: memory until the name is done; nullptr when it is used up.
  static void* allocate(size_t bytes);

 private:
  static void run(void* self);
  static void append(const char* text, size_t size, void* self);
  void begin(Language language);
  bool has_given_up(uint64_t name_hash) const;

  base::BoundedCall call_;
  size_t name_size_ = 0;
  size_t text_size_ = 0;
  size_t arena_used_ = 0;
  bool is_too_long_ = false;
  Language language_ = Language::unknown;
  uint32_t given_up_count_ = 0;
  uint64_t given_up_[kMostGivenUp] = {};  ///< hashes of names
  char name_[kLongestName + 1];
  char text_[kLongestText];
  alignas(16) std::byte arena_[64 * 1024];
};

}  // namespace unfreed::report
