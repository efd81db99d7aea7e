// Functions that glibc 2.34 moved into libc. Older ones have them in libpthread, libdl and librt, which a program may
// load later, or never. This library must not need those (a program without threads would notice: libstdc++ tests for
// libpthread by weak references), nor the versions that only newer glibcs have. So it is not linked with these
// functions, but looks for them in the loaded objects.
#pragma once

#include <atomic>
#include <cstdint>

#include "unwind/dynamic_symbols.h"

namespace unfreed::unwind {

/// The function that a part of glibc itself defines, even if the program has one of that name. Empty: none of the parts
/// that are loaded has it. Reads the loader's list without its lock.
Definition find_in_libc(const SymbolName& name);

/// Such a function, found when first asked for. Thread-safe.
template <class Function>
class MovedFunction {
 public:
  constexpr explicit MovedFunction(const SymbolName& name) : name_(name) {}

  /// nullptr: it is not there, so far.
  Function* get() {
    uintptr_t address = address_.load(std::memory_order_relaxed);
    if (!address) {
      if (Definition found = find_in_libc(name_)) address = found.chosen_address();
      address_.store(address, std::memory_order_relaxed);
    }
    return reinterpret_cast<Function*>(address);
  }

 private:
  SymbolName name_;
  std::atomic<uintptr_t> address_ = 0;
};

}  // namespace unfreed::unwind
