#include "base/printable.h"

#include <iterator>

namespace unfreed::base {

namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

/// Unicode 15: controls (Cc), Default_Ignorable_Code_Point and Bidi_Control (DerivedCoreProperties.txt, PropList.txt),
/// line and paragraph separators (Zl, Zp), interlinear annotations; U+FFFE and U+FFFF, which XML cannot hold. In order.
constexpr Range kHidden[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},
    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

constexpr char kHexDigits[] = "0123456789abcdef";

constexpr bool is_plain(unsigned char byte) { return byte >= 0x20 && byte < 0x7f; }

void escape(Shown& shown, char letter, uint32_t value, int digits) {
  char* at = shown.escape;
  *at++ = '\\';
  *at++ = letter;
  while (digits-- > 0) *at++ = kHexDigits[value >> (4 * digits) & 15];
  shown.escape_size = static_cast<uint8_t>(at - shown.escape);
}

}  // namespace

Character first_character(std::string_view text) {
  // Unicode 15, table 3-7: well-formed UTF-8 byte sequences.
  auto byte = [&](size_t index) { return static_cast<unsigned char>(text[index]); };
  auto continues = [&](size_t index) { return index < text.size() && (byte(index) & 0xc0) == 0x80; };
  constexpr Character kMalformed{0, 0};
  uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xc2 || lead > 0xf4 || !continues(1)) return kMalformed;
  uint32_t second = byte(1);
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (second & 0x3f), 2};
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return kMalformed;  // overlong, surrogate
  if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return kMalformed;  // overlong, too large
  if (!continues(2)) return kMalformed;
  uint32_t start = (second & 0x3f) << 6 | (byte(2) & 0x3fu);
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | start, 3};
  if (!continues(3)) return kMalformed;
  return {(lead & 0x07) << 18 | start << 6 | (byte(3) & 0x3fu), 4};
}

bool is_hidden(uint32_t code) {
  size_t low = 0;
  for (size_t high = std::size(kHidden); low < high;) {
    size_t middle = (low + high) / 2;
    if (kHidden[middle].last < code)
      low = middle + 1;
    else
      high = middle;
  }
  return low < std::size(kHidden) && kHidden[low].first <= code;
}

Shown show_first(std::string_view text) {
  Shown shown{1, 0, {}};
  auto byte = static_cast<unsigned char>(text.front());
  if (is_plain(byte)) return shown;
  Character character = first_character(text);
  if (byte < 0x80 || character.bytes == 0) {
    escape(shown, 'x', byte, 2);
    return shown;
  }
  shown.taken = character.bytes;
  if (!is_hidden(character.code)) return shown;
  if (character.code <= 0xffff)
    escape(shown, 'u', character.code, 4);
  else
    escape(shown, 'U', character.code, 8);
  return shown;
}

void add_printable(TextBuilder& out, std::string_view text, size_t most) {
  constexpr std::string_view kCut = "…";
  size_t start = out.size();
  size_t room_before_cut = most < kCut.size() ? 0 : most - kCut.size();
  // Where the text would be cut, should it turn out not to fit.
  size_t cut_at = start;
  std::string_view rest = text;
  while (!rest.empty()) {
    Shown shown = show_first(rest);
    std::string_view piece = shown.as_text(rest);
    if (out.size() - start + piece.size() > most) {
      out.shorten(cut_at);
      out.add(slice(kCut, 0, most));
      return;
    }
    out.add(piece);
    rest.remove_prefix(shown.taken);
    if (out.size() - start <= room_before_cut) cut_at = out.size();
  }
}

}  // namespace unfreed::base
