// Text that is assembled at compile time: messages that list the contents of tables.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>

namespace unfreed::base {

template <size_t kRoom = 512>
struct ConstantText {
  char text[kRoom] = {};
  size_t size = 0;

  constexpr ConstantText() = default;
  constexpr ConstantText(std::string_view start) { add(start); }
  constexpr ConstantText& add(std::string_view more) {
    for (char character : more) text[size++] = character;  // too long: does not compile
    return *this;
  }
  /// "fd, heap or thread", with `last` (" or ") before the last one.
  constexpr ConstantText& add_list(std::span<const std::string_view> names, std::string_view last,
                                   std::string_view separator = ", ") {
    for (size_t at = 0; at < names.size(); ++at) {
      if (at) add(at + 1 == names.size() ? last : separator);
      add(names[at]);
    }
    return *this;
  }
};

}  // namespace unfreed::base
