#include "render/quantities.h"

#include <fmt/format.h>

namespace unfreed::render {

std::string write_count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string write_bytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return value < 99.95 ? fmt::format("{:.1f} {}", value, kUnits[unit]) : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string write_duration(uint64_t nanoseconds) {
  double seconds = static_cast<double>(nanoseconds) / 1e9;
  if (seconds < 0.9995) return fmt::format("{:.3g} ms", seconds * 1e3);
  if (seconds < 99.95) return fmt::format("{:.3g} s", seconds);
  uint64_t whole = nanoseconds / 1'000'000'000;
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {} h", whole / 86400, whole / 3600 % 24);
}

std::string write_number_of(uint64_t count, std::string_view thing) {
  std::string text = write_count(count) + " ";
  if (count == 1) return text.append(thing);
  if (thing.ends_with("child")) return text.append(thing) + "ren";
  if (thing.ends_with('y')) return text.append(thing.substr(0, thing.size() - 1)) + "ies";
  return text.append(thing) + "s";
}

}  // namespace unfreed::render
