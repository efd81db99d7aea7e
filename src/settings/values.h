// The readers of settings' values: each turns text into a value and returns true, or returns false and changes nothing.
// Allocation-free, async-signal-safe. Texts that are kept point into the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/scan.h"

namespace unfreed::report {

/// "3,5-7"
struct NumberRange {
  int first = 0;
  int last = 0;
};
struct NumberRanges {
  static constexpr size_t kMost = 32;
  NumberRange ranges[kMost];
  size_t count = 0;
};

inline bool read_text(std::string_view text, std::string_view& out) {
  out = text;
  return true;
}
/// "0" or "1".
bool read_switch(std::string_view text, bool& out);
/// Kinds' names, separated by commas, or "all": a bit per ledger::Kind.
bool read_kinds(std::string_view text, uint32_t& out);
bool read_ranges(std::string_view text, NumberRanges& out);
/// A signal's name ("USR1", "SIGUSR1", "RTMIN+3") or number, or "off": 0. Not one that cannot be caught, nor a fault's.
bool read_signal(std::string_view text, int& out);
/// When the heap is graded: never, at the process's end, or also for reports that are asked for.
enum class GradeWhen : uint8_t { off, exit, on };
bool read_grade_when(std::string_view text, GradeWhen& out);
/// A number, then ms, s, m or min, h or d: nanoseconds, at least one.
bool parse_duration(std::string_view text, uint64_t& out);
/// How programs are tracked: from inside, from outside by their system calls, or in the one way or the other.
enum class Backend : uint8_t { automatic, preload, trace, ebpf };
bool read_backend(std::string_view text, Backend& out);
/// Which programs that a tracked one starts are tracked: those that its environment reaches, or also others.
enum class Follow : uint8_t { environment, force };
bool read_follow(std::string_view text, Follow& out);
/// The same, at least 10 ms.
inline bool read_every(std::string_view text, uint64_t& out) {
  constexpr uint64_t kShortest = 10'000'000;
  uint64_t value = 0;
  if (!parse_duration(text, value) || value < kShortest) return false;
  out = value;
  return true;
}
/// A number, then K, M, G (powers of 1024) or nothing.
bool parse_bytes(std::string_view text, uint64_t& out);

template <uint64_t kLowest, uint64_t kHighest, class Number>
bool read_number(std::string_view text, Number& out) {
  uint64_t value = 0;
  if (!base::parse_number(text, value) || value < kLowest || value > kHighest) return false;
  out = static_cast<Number>(value);
  return true;
}

template <uint64_t kLowest, uint64_t kHighest>
bool read_bytes(std::string_view text, uint64_t& out) {
  uint64_t value = 0;
  if (!parse_bytes(text, value) || value < kLowest || value > kHighest) return false;
  out = value;
  return true;
}

}  // namespace unfreed::report
