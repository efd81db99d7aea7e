#include "unwind/call_target.h"

#include <cstring>

#include "unwind/objects.h"

namespace unfreed::unwind {

namespace {

/// An object's memory, read with a check of its bounds: what looks like a call may be the end of something else.
class ObjectMemory {
 public:
  explicit ObjectMemory(const Object& object) : object_(object) {}

  template <class Value>
  bool read(uintptr_t address, Value& value) const {
    if (!is_readable(object_, address, sizeof value)) return false;
    std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
    return true;
  }
  bool has(uintptr_t address, uint8_t expected) const {
    uint8_t byte;
    return read(address, byte) && byte == expected;
  }
  /// What an operand of four bytes at `address`, an instruction's last, stands for.
  uintptr_t relative(uintptr_t address) const {
    int32_t distance;
    if (!read(address, distance)) return 0;
    return address + sizeof distance + static_cast<uintptr_t>(static_cast<intptr_t>(distance));
  }

 private:
  const Object& object_;
};

/// Where `jmp *slot(%rip)` or `call *slot(%rip)` leads whose opcode ends just before `operand`.
uintptr_t through_slot(const ObjectMemory& memory, uintptr_t operand) {
  uintptr_t target;
  return memory.read(memory.relative(operand), target) ? target : 0;
}

/// If `code` is a PLT entry, where that leads: [endbr64] [bnd] jmp *slot(%rip). Else `code`.
uintptr_t through_plt(const ObjectMemory& memory, uintptr_t code) {
  constexpr uint32_t kEndbr64 = 0xfa1e0ff3;
  uintptr_t at = code;
  uint32_t first;
  if (memory.read(at, first) && first == kEndbr64) at += sizeof first;
  if (memory.has(at, 0xf2)) ++at;
  bool jumps = memory.has(at, 0xff) && memory.has(at + 1, 0x25);
  return jumps ? through_slot(memory, at + 2) : code;
}

}  // namespace

uintptr_t call_target(uintptr_t return_address) {
  Object object;
  if (!find_object(return_address - 1, object) || object.shift) return 0;
  ObjectMemory memory(object);
  constexpr uintptr_t kOperandBytes = 4;
  uintptr_t operand = return_address - kOperandBytes;
  if (memory.has(operand - 2, 0xff) && memory.has(operand - 1, 0x15)) return through_slot(memory, operand);
  if (memory.has(operand - 1, 0xe8)) return through_plt(memory, memory.relative(operand));
  return 0;
}

}  // namespace unfreed::unwind
