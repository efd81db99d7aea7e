#include "unwind/call_target.h"

#include <cstring>

#include "arch/frames.h"
#include "unwind/objects.h"

namespace unfreed::unwind {

namespace {

bool read_instruction(const Object& object, uintptr_t address, uint32_t& out) {
  if (address % sizeof out != 0 || !is_readable(object, address, sizeof out)) return false;
  std::memcpy(&out, reinterpret_cast<const void*>(address), sizeof out);
  return true;
}

/// If `code` is a PLT entry, where that leads: [bti c]; adrp x16, PAGE; ldr x17, [x16, #OFFSET]; … br x17. Else `code`.
uintptr_t through_plt(const Object& object, uintptr_t code) {
  constexpr uint32_t kBtiC = 0xd503245f, kPageBits = 12;
  uint32_t page, load;
  uintptr_t at = code;
  if (read_instruction(object, at, page) && page == kBtiC) at += sizeof page;
  bool is_entry = read_instruction(object, at, page) && (page & 0x9f00001f) == 0x90000010 &&
                  read_instruction(object, at + sizeof page, load) && (load & 0xffc003ff) == 0xf9400211;
  if (!is_entry) return code;
  // The distance in pages: bits 23 to 5, and below them bits 30 and 29.
  auto pages = static_cast<int32_t>(page << 8) >> 13;
  intptr_t distance = intptr_t{pages} * 4 + (page >> 29 & 3);
  uintptr_t slot = (at >> kPageBits << kPageBits) + (static_cast<uintptr_t>(distance) << kPageBits) +
                   uintptr_t{load >> 10 & 0xfff} * sizeof(uintptr_t);
  uintptr_t target;
  if (!is_readable(object, slot, sizeof target)) return 0;
  std::memcpy(&target, reinterpret_cast<const void*>(slot), sizeof target);
  return target;
}

}  // namespace

uintptr_t call_target(uintptr_t return_address) {
  Object object;
  if (!find_object(return_address - 1, object) || object.shift) return 0;
  uintptr_t place = return_address - arch::kLongestCall;
  uint32_t instruction;
  if (!read_instruction(object, place, instruction) || !arch::is_direct_call(instruction)) return 0;
  return through_plt(object, arch::branch_target(instruction, place));
}

}  // namespace unfreed::unwind
