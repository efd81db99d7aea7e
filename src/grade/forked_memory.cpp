#include "grade/forked_memory.h"

#include <sys/mman.h>

#include <span>
#include <string_view>

#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"
#include "grade/exclusions.h"
#include "grade/mapping_lines.h"
#include "track/kept_memory.h"
#include "track/tracker.h"

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

/// The runtime's: by some of it a copy knows that it is one.
bool is_own(uintptr_t address) {
  Range image = image_around(reinterpret_cast<uintptr_t>(&track::g_tracker));
  if (address >= image.low && address < image.high) return true;
  base::OwnMapping own;
  for (size_t at = 0; base::own_mapping(at, own); ++at)
    if (address - own.address < own.bytes) return true;
  return false;
}

}  // namespace

bool ForkedMemory::give() {
  if (!track::keeps_memory_from_children()) return true;
  kept_ = memory_.reserve_array<Kept>(kMost);
  Scratch buffer_memory;
  auto* buffer = static_cast<char*>(buffer_memory.reserve(kLineBytes));
  if (!kept_ || !buffer) return false;
  Mapping current{};
  bool has_room = true;
  bool is_read = each_line("/proc/self/smaps", {buffer, kLineBytes}, [&](std::string_view line) {
    Mapping mapping;
    if (parse_mapping(line, mapping)) {
      current = mapping;
      return true;
    }
    bool is_wiped = has_flag(line, "wf") && !is_own(current.low);
    if ((!is_wiped && !has_flag(line, "dc")) || current.use == MappingUse::device || !current.readable ||
        current.shared)
      return true;
    if (count_ == kMost) return has_room = false;
    kept_[count_++] = {{current.low, current.high}, is_wiped};
    return true;
  });
  if (!is_read || !has_room) return false;
  advise(MADV_DOFORK, MADV_KEEPONFORK);
  return true;
}

void ForkedMemory::keep_again() {
  advise(MADV_DONTFORK, MADV_WIPEONFORK);
  count_ = 0;
}

void ForkedMemory::advise(int not_copied, int wiped) {
  for (const Kept& kept : std::span(kept_, count_))
    base::raw_syscall(SYS_madvise, static_cast<long>(kept.range.low),
                      static_cast<long>(kept.range.high - kept.range.low), kept.is_wiped ? wiped : not_copied);
}

}  // namespace unfreed::grade
