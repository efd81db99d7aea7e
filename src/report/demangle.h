// C++ names as a person writes them, from names as they are linked (Itanium C++ ABI, "Mangling"): for reports that the
// runtime makes by itself, where there is no __cxa_demangle to be had that neither allocates nor takes a lock.
//
//     "_ZNSt6vectorIiSaIiEE9push_backERKi"  ─parse─▶  tree  ─print─▶  "std::vector<int, std::allocator<int>
//     >::push_back(int const&)"
//
// The text is that of GNU c++filt. A name with anything in it that this does not know stays as it is: never wrong,
// sometimes mangled. Everything has its bounds: nodes, substitutions, depth, steps, length of the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace unfreed::report {

enum class NodeKind : uint8_t;

/// A part of a name. What `a`, `b` and `c` refer to (by number, 0: nothing) depends on the kind.
struct NameNode {
  NodeKind kind;
  uint8_t flags;
  uint16_t a;
  uint16_t b;
  uint16_t c;
  std::string_view text;
};

/// The memory of one demangling: some 100 kB, so not on a stack.
class Demangler {
 public:
  /// The readable name, or `linkage_name` itself. Compilers' suffixes for copies of a function (.isra.0, .cold …) are
  /// left away. Valid until the next call. Allocation-free, async-signal-safe; thread-compatible.
  std::string_view demangle(std::string_view linkage_name);

 private:
  friend class NameParser;
  friend class NamePrinter;

  static constexpr size_t kMostNodes = 3072;
  static constexpr size_t kMostSubstitutions = 512;
  static constexpr size_t kMostText = 8192;

  NameNode nodes_[kMostNodes];
  uint16_t substitutions_[kMostSubstitutions];
  char text_[kMostText];
};

/// The name without compilers' suffixes.
std::string_view without_clone_suffix(std::string_view linkage_name);

}  // namespace unfreed::report
