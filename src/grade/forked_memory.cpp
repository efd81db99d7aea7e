#include "grade/forked_memory.h"

#include <sys/mman.h>

#include <string_view>

#include "base/syscall.h"
#include "base/text.h"
#include "grade/mapping_lines.h"
#include "track/kept_memory.h"

namespace unfreed::grade {

namespace {

/// "VmFlags: rd wr mr mw me dc ac sd": `flag` has two letters.
bool has_flag(std::string_view line, std::string_view flag) {
  constexpr std::string_view kName = "VmFlags:";
  if (!line.starts_with(kName)) return false;
  for (size_t at = kName.size(); at + flag.size() < line.size(); at += flag.size() + 1)
    if (base::slice(line, at + 1, flag.size()) == flag) return true;
  return false;
}

}  // namespace

bool ForkedMemory::give() {
  if (!track::keeps_memory_from_children()) return true;
  kept_ = memory_.reserve_array<Range>(kMost);
  Scratch buffer_memory;
  auto* buffer = static_cast<char*>(buffer_memory.reserve(kLineBytes));
  if (!kept_ || !buffer) return false;
  Mapping current{};
  bool has_room = true;
  bool is_read = each_line("/proc/self/smaps", {buffer, kLineBytes}, [&](std::string_view line) {
    Mapping mapping;
    if (parse_mapping(line, mapping)) {
      current = mapping;
    } else if (has_flag(line, "dc") && current.use != MappingUse::device && current.readable && !current.shared) {
      if (count_ == kMost) return has_room = false;
      kept_[count_++] = {current.low, current.high};
    }
    return true;
  });
  if (!is_read || !has_room) return false;
  for (size_t at = 0; at < count_; ++at)
    base::raw_syscall(SYS_madvise, static_cast<long>(kept_[at].low), static_cast<long>(kept_[at].high - kept_[at].low),
                      MADV_DOFORK);
  return true;
}

void ForkedMemory::keep_again() {
  for (size_t at = 0; at < count_; ++at)
    base::raw_syscall(SYS_madvise, static_cast<long>(kept_[at].low), static_cast<long>(kept_[at].high - kept_[at].low),
                      MADV_DONTFORK);
  count_ = 0;
}

}  // namespace unfreed::grade
