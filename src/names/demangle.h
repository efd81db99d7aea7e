// Names of functions as their languages write them, from names as they are linked: C++ (Itanium C++ ABI) and Rust
// (legacy and v0), by libiberty's demanglers. The text is that of GNU c++filt.
//
// A linked name is untrusted input: in 34 characters it can ask for a text of 10^15 characters, or for as many steps
// that write nothing. So the demanglers run under a BoundedCall, and write into a buffer of fixed size. Nothing is
// allocated through the process: what they ask malloc for (Rust's names beyond ASCII) comes from a small arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bounded_call.h"

namespace unfreed::report {

enum class Language : uint8_t { unknown, cpp, rust };

/// A name, and what it was mangled by: `unknown` is what is not mangled, or cannot be demangled, and stays as it is.
struct DemangledName {
  std::string_view text;
  Language language = Language::unknown;
};

/// The name without what compilers append to copies of a function (.isra.0, .cold …).
std::string_view without_clone_suffix(std::string_view linkage_name);

/// Does this look like a name of C++ or Rust as it is linked?
bool is_mangled(std::string_view name);

/// The memory of one demangling at a time, some 160 kB: not on a stack. Async-signal-safe; one in use in a process.
class Demangler {
 public:
  /// The readable name, or `linkage_name` itself; without clone suffix. Valid until the next call.
  DemangledName demangle(std::string_view linkage_name);

  /// Longer names stay as they are. In C++'s, stack is used by the square of the length.
  static constexpr size_t kLongestName = 16 * 1024;
  static constexpr size_t kLongestCppName = 4096;
  static constexpr size_t kLongestText = 64 * 1024;
  /// So many names may use up their time. Then none is demangled any more: 0.5 s in all.
  static constexpr uint32_t kMostGivenUp = 25;

  /// What libiberty gets from malloc: memory until the name is done; nullptr when there is no more.
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
