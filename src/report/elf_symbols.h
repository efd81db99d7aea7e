// Function names from an ELF file's symbol table. The file is taken as it comes: every offset and size in it is
// checked, a corrupt one has fewer names or none. Used by both halves, as signatures are made of these names.
// Allocation-free, async-signal-safe; thread-compatible.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::report {

/// No program or library, nor its debug information, is larger; what is is not read.
inline constexpr uint64_t kMostObjectBytes = uint64_t{4} << 30;

class ElfSymbols {
 public:
  /// Reads section headers of `file` (which must outlive this): .symtab, else .dynsym. False when there is neither.
  bool open(std::span<const std::byte> file);

  /// The build ID note, raw; empty when there is none.
  std::string_view build_id() const { return build_id_; }

  /// Words of memory that an index of the functions needs.
  size_t index_words() const { return count_; }
  /// Sorts the functions by address into `words` (at least index_words(), kept by the caller). Needed before find().
  void build_index(std::span<uint32_t> words);

  /// Name, as linked, of the function at an address of the file; empty when none covers it.
  std::string_view find(uint64_t address) const;

 private:
  template <class T>
  bool read(uint64_t offset, T& out) const;
  std::span<const std::byte> part(uint64_t offset, uint64_t bytes) const;
  bool read_section(uint64_t index, Elf64_Shdr& out) const;
  void read_build_id(const Elf64_Shdr& notes);
  Elf64_Sym symbol(uint32_t index) const;
  std::string_view name(const Elf64_Sym& symbol) const;
  bool is_function(const Elf64_Sym& symbol) const;
  bool is_before(uint32_t left, uint32_t right) const;

  std::span<const std::byte> file_;
  Elf64_Ehdr header_{};
  std::span<const std::byte> symbols_;
  std::span<const std::byte> strings_;
  uint32_t count_ = 0;
  std::string_view build_id_;
  std::span<uint32_t> index_;
};

}  // namespace unfreed::report
