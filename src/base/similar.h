// Which of several words somebody may have meant. Allocation-free, async-signal-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace unfreed::base {

inline constexpr size_t kLongestWord = 48;

/// Letters left out, added, changed, or two of them swapped; kLongestWord for longer words.
inline size_t edit_distance(std::string_view left, std::string_view right) {
  if (left.size() >= kLongestWord || right.size() >= kLongestWord) return kLongestWord;
  uint8_t rows[3][kLongestWord + 1];
  uint8_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t at = 0; at <= right.size(); ++at) last[at] = static_cast<uint8_t>(at);
  for (size_t i = 1; i <= left.size(); ++i) {
    row[0] = static_cast<uint8_t>(i);
    for (size_t j = 1; j <= right.size(); ++j) {
      int changed = left[i - 1] != right[j - 1];
      int best = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + changed});
      bool is_swap = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
      if (is_swap) best = std::min(best, before[j - 2] + 1);
      row[j] = static_cast<uint8_t>(best);
    }
    uint8_t* free = before;
    before = last;
    last = row;
    row = free;
  }
  return last[right.size()];
}

/// The word most like one that is none of them.
class Nearest {
 public:
  explicit Nearest(std::string_view word) : word_(word) {}

  void consider(std::string_view candidate) {
    size_t length = std::min(word_.size(), candidate.size());
    // One that goes on is meant as well: "--output-file", "UNFREED_SUPPRESS".
    constexpr size_t kTelling = 4;
    bool goes_on = length >= kTelling && word_.substr(0, length) == candidate.substr(0, length);
    size_t distance = goes_on ? 1 : edit_distance(word_, candidate);
    if (distance > std::max<size_t>(1, length / 3) || distance >= distance_) return;
    distance_ = distance;
    found_ = candidate;
  }
  /// "" where none is like it.
  std::string_view found() const { return found_; }

 private:
  std::string_view word_;
  std::string_view found_;
  size_t distance_ = kLongestWord;
};

}  // namespace unfreed::base
