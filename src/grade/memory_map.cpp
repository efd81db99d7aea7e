#include "grade/memory_map.h"

#include <algorithm>

#include "grade/mapping_lines.h"

namespace unfreed::grade {

namespace {
/// vm.max_map_count is 65,530 unless somebody has raised it.
constexpr size_t kMostMappings = size_t{1} << 18;
}  // namespace

bool MemoryMap::read() {
  mappings_ = memory_.reserve_array<Mapping>(kMostMappings);
  if (!mappings_) return false;
  count_ = 0;
  // It stays mapped as long as the list does, which it is on.
  auto* buffer = static_cast<char*>(buffer_.reserve(kLineBytes));
  if (!buffer) return false;
  bool is_whole = each_line("/proc/self/maps", {buffer, kLineBytes}, [this](std::string_view line) {
    return count_ < kMostMappings && parse_mapping(line, mappings_[count_++]);
  });
  return is_whole && count_;
}

const Mapping* MemoryMap::find(uintptr_t address) const {
  const Mapping* next = std::upper_bound(mappings_, mappings_ + count_, address,
                                         [](uintptr_t at, const Mapping& mapping) { return at < mapping.low; });
  return next != mappings_ && address < next[-1].high ? next - 1 : nullptr;
}

}  // namespace unfreed::grade
