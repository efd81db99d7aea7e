// Where do the variables of loaded objects begin? By the symbol tables of their files, which are opened as words of
// them come up. Async-signal-safe; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "names/elf_symbols.h"

namespace unfreed::grade {

class Variables {
 public:
  /// Objects with more symbols are not looked at, as sorting them takes too long.
  explicit Variables(size_t most_symbols) : most_symbols_(most_symbols) {}
  ~Variables();
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

  /// Where the variable begins that has a word at `address`; the address itself if that is not known.
  uintptr_t start_of(uintptr_t address);

 private:
  struct Module {
    uintptr_t low = 0;
    uintptr_t high = 0;
    uintptr_t bias = 0;
    bool is_usable = false;
    std::span<const std::byte> file;
    std::span<uint32_t> index;
    report::ElfSymbols symbols;
  };
  static constexpr size_t kMostModules = 64;

  Module* find(uintptr_t address);
  void open(Module& module, uint32_t number) const;

  size_t most_symbols_;
  Module modules_[kMostModules];
  size_t count_ = 0;
};

}  // namespace unfreed::grade
