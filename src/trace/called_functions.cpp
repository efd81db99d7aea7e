#include "trace/called_functions.h"

#include <algorithm>
#include <cstring>

namespace unfreed::trace {

bool Code::read_byte(uintptr_t address, uint8_t& out) const {
  if (address < start || address - start >= bytes.size()) return false;
  out = static_cast<uint8_t>(bytes[address - start]);
  return true;
}

bool Code::read_relative(uintptr_t address, uintptr_t& out) const {
  int32_t distance;
  if (address < start || address - start > bytes.size() || bytes.size() - (address - start) < sizeof distance)
    return false;
  std::memcpy(&distance, bytes.data() + (address - start), sizeof distance);
  out = address + sizeof distance + static_cast<uintptr_t>(static_cast<intptr_t>(distance));
  return true;
}

uintptr_t Code::call_target(uintptr_t return_address) const {
  constexpr uint8_t kCall = 0xe8;
  uint8_t byte;
  uintptr_t target;
  return read_byte(return_address - 5, byte) && byte == kCall && read_relative(return_address - 4, target) ? target : 0;
}

/// [endbr64] [bnd] jmp *slot(%rip)
uintptr_t Code::entry_slot(uintptr_t address) const {
  constexpr uint8_t kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  constexpr uint8_t kBnd = 0xf2, kJumpThrough[] = {0xff, 0x25};
  auto follows = [&](std::span<const uint8_t> expected) {
    uint8_t byte;
    for (size_t at = 0; at < expected.size(); ++at)
      if (!read_byte(address + at, byte) || byte != expected[at]) return false;
    return true;
  };
  if (follows(kEndbr64)) address += sizeof kEndbr64;
  if (follows({&kBnd, 1})) ++address;
  uintptr_t slot;
  return follows(kJumpThrough) && read_relative(address + 2, slot) ? slot : 0;
}

CalledFunctions::CalledFunctions(const elf::File& file, uintptr_t bias) {
  elf::Section symbols, names;
  if (!file.find_section(".symtab", symbols) || !file.section(symbols.link, names)) return;
  elf::Range table{symbols.offset, symbols.bytes}, texts{names.offset, names.bytes};
  for (uint64_t index = 0; index < symbols.bytes / file.symbol_bytes(); ++index) {
    elf::Symbol symbol;
    constexpr uint8_t kFunction = 2;
    if (!file.symbol(table, index, symbol) || (symbol.info & 15) != kFunction || !symbol.section) continue;
    functions_.push_back({bias + symbol.value, bias + symbol.value + symbol.bytes});
    if (file.is_text(texts, symbol.name, "main")) main_ = bias + symbol.value;
  }
  std::sort(functions_.begin(), functions_.end(), [](const Function& left, const Function& right) {
    return left.start != right.start ? left.start < right.start : left.end > right.end;
  });
  // Names of one function; and functions in assembly, which may not say how long they are.
  functions_.erase(std::unique(functions_.begin(), functions_.end(),
                               [](const Function& left, const Function& right) { return left.start == right.start; }),
                   functions_.end());
  for (size_t at = 0; at < functions_.size(); ++at)
    if (functions_[at].end == functions_[at].start && at + 1 < functions_.size())
      functions_[at].end = functions_[at + 1].start;
}

const CalledFunctions::Function* CalledFunctions::find(uintptr_t pc) const {
  auto next = std::upper_bound(functions_.begin(), functions_.end(), pc,
                               [](uintptr_t left, const Function& right) { return left < right.start; });
  if (next == functions_.begin()) return nullptr;
  const Function& function = *(next - 1);
  return pc < function.end ? &function : nullptr;
}

bool CalledFunctions::is_in_main(uintptr_t pc) const {
  const Function* function = find(pc);
  return function && main_ && function->start == main_;
}

/// A function that ends by a call of another may jump there instead.
bool CalledFunctions::leads_to(uintptr_t target, uintptr_t pc, const Code& code) const {
  const Function* wanted = find(pc);
  if (!wanted) return false;
  constexpr size_t kMostFunctions = 64;
  constexpr uintptr_t kLongest = 1 << 16;
  std::vector<uintptr_t> reached{target};
  for (size_t at = 0; at < reached.size(); ++at) {
    const Function* function = find(reached[at]);
    if (!function || reached[at] != function->start) continue;
    if (function == wanted) return true;
    uintptr_t end = std::min(function->end, function->start + kLongest);
    for (uintptr_t place = function->start; place < end && reached.size() < kMostFunctions; ++place) {
      uint8_t byte;
      uintptr_t next;
      constexpr uint8_t kJump = 0xe9;
      if (!code.read_byte(place, byte) || byte != kJump || !code.read_relative(place + 1, next)) continue;
      if (std::find(reached.begin(), reached.end(), next) == reached.end()) reached.push_back(next);
    }
  }
  return false;
}

}  // namespace unfreed::trace
