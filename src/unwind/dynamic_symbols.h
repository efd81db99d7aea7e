// What a loaded object exports, by name: its own hash table of dynamic symbols, read where it lies in memory. dladdr
// goes through every symbol of an object, and dlsym takes the loader's lock.
#pragma once

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <string_view>

#include "unwind/objects.h"

namespace unfreed::unwind {

/// Valid while the object is loaded. Reads what the loader itself goes by, unchecked. Async-signal-safe.
class DynamicSymbols {
 public:
  explicit DynamicSymbols(const Object& object);

  /// The first symbol of that name, or the next one after `after`: a name may have several versions. nullptr: there is
  /// none. An executable's stand-in for another object's function is found too, undefined and with a value.
  const ElfW(Sym) * find(std::string_view name, const ElfW(Sym) * after = nullptr) const;

 private:
  const ElfW(Sym) * symbols_ = nullptr;
  const char* names_ = nullptr;
  const uint32_t* gnu_hash_ = nullptr;
  const uint32_t* sysv_hash_ = nullptr;
};

}  // namespace unfreed::unwind
