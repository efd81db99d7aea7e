// Makes other people's texts fit for a terminal or a browser: names of programs and files, arguments, values of
// variables. Characters that would control a terminal, change the order of the text around them or be invisible become
// escapes. Allocation-free, async-signal-safe.
//
//     control characters, bytes that are not UTF-8       \x1b
//     C1 controls, bidirectional controls (U+202E …),
//     characters that are invisible (U+200B …)           \u202e, \U000e0041
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace unfreed::base {

/// The first character of a text.
struct Character {
  uint32_t code;
  uint8_t bytes;  ///< 0: the text does not start with well-formed UTF-8
};
/// `text` is not empty.
Character first_character(std::string_view text);

/// Is the character invisible, or does it control how others are shown? (A space is neither.)
bool is_hidden(uint32_t code);

/// How the first character of a text is shown.
struct Shown {
  uint8_t taken;        ///< bytes of the text
  uint8_t escape_size;  ///< 0: they are shown as they are
  char escape[10];
  std::string_view as_text(std::string_view text) const {
    return escape_size ? std::string_view(escape, escape_size) : slice(text, 0, taken);
  }
};
/// `text` is not empty.
Shown show_first(std::string_view text);

/// Appends `text` with escapes. If not all of it fits into `most` bytes, appends its start and "…": at most `most`
/// bytes, and never part of an escape.
void add_printable(TextBuilder& out, std::string_view text, size_t most);

}  // namespace unfreed::base
