// Names of functions and variables from an ELF file's symbol table. The file is not trusted: every offset and size in
// it is checked, and a corrupt one has fewer names or none. Both halves use it, as signatures are made of these names.
// Allocation-free, async-signal-safe; thread-compatible.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "elf/file.h"

namespace unfreed::report {

class ElfSymbols {
 public:
  /// Reads section headers of `file` (which must outlive this): .symtab, else .dynsym. False when there is neither.
  bool open(std::span<const std::byte> file);

  /// The build ID note, raw; empty when there is none.
  std::string_view build_id() const { return build_id_; }

  /// Words of memory that an index needs.
  size_t index_words() const { return count_ + bucket_count() + 1; }
  /// Distributes functions and variables by address into `words` (at least index_words(), kept by the caller). Required
  /// by find().
  void build_index(std::span<uint32_t> words);

  /// Name, as linked, of the function or variable at an address of the file; empty when none covers it. `distance`:
  /// from where it begins. A thread-local variable's is ledger::kThreadLocals and more. Sorts what it comes by.
  std::string_view find(uint64_t address, uint64_t* distance = nullptr);

 private:
  std::span<const std::byte> part(elf::Range range) const;
  Elf64_Sym symbol(uint32_t index) const;
  std::string_view name(const Elf64_Sym& symbol) const;
  bool is_before(uint32_t left, uint32_t right) const;

  // A process looks up some hundred addresses, and its libraries have tens of thousands of symbols:
  //
  //     starts_   │ 0 │ 7 │ 7 │ … │     where each bucket begins in order_; addresses rise from bucket to bucket, the
  //     order_    │ symbols │ symbols │ …     last one is for thread-local variables; sorted when it is first needed
  size_t bucket_count() const;
  size_t bucket_of(uint64_t address) const;
  std::span<const uint32_t> sorted_bucket(size_t bucket);

  std::span<const std::byte> file_;
  std::span<const std::byte> symbols_;
  std::span<const std::byte> strings_;
  uint32_t count_ = 0;
  std::string_view build_id_;
  std::span<uint32_t> starts_;
  std::span<uint32_t> order_;
  uint64_t low_ = 0;
  unsigned shift_ = 0;
};

}  // namespace unfreed::report
