#include "trace/remote_object.h"

#include <cstring>

#include "elf/hash_tables.h"

namespace unfreed::trace {

RemoteObject::RemoteObject(int tid, uintptr_t start) : memory_(tid) {
  Elf64_Ehdr header;
  if (!memory_.read_value(start, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
  uintptr_t dynamic = 0;
  bool has_bias = false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!memory_.read_value(start + header.e_phoff + i * sizeof segment, segment)) return;
    if (segment.p_type == PT_LOAD && !has_bias) {
      bias_ = start - (segment.p_vaddr & ~uintptr_t{4095});
      has_bias = true;
    }
    if (segment.p_type == PT_DYNAMIC) dynamic = segment.p_vaddr;
  }
  constexpr size_t kMostEntries = 256;
  Elf64_Dyn entry{};
  for (size_t i = 0; dynamic && i < kMostEntries; ++i) {
    if (!memory_.read_value(bias_ + dynamic + i * sizeof entry, entry) || entry.d_tag == DT_NULL) break;
    // The loader has added the bias to them, but not in the vDSO.
    uintptr_t address = entry.d_un.d_ptr < bias_ ? bias_ + entry.d_un.d_ptr : entry.d_un.d_ptr;
    if (entry.d_tag == DT_SYMTAB) symbols_ = address;
    if (entry.d_tag == DT_STRTAB) names_ = address;
    if (entry.d_tag == DT_GNU_HASH) gnu_hash_ = address;
  }
}

std::vector<Elf64_Sym> RemoteObject::find_all(std::string_view name) const {
  std::vector<Elf64_Sym> found;
  if (!*this) return found;
  auto word = [&](uint64_t at, uint32_t& out) { return memory_.read_value(gnu_hash_ + at, out); };
  Elf64_Sym symbol;
  auto is_it = [&](uint32_t index) {
    return memory_.read_value(symbols_ + index * sizeof symbol, symbol) && symbol.st_shndx != SHN_UNDEF &&
           memory_.read_text(names_ + symbol.st_name, name.size() + 1) == name;
  };
  uint32_t index = 0;
  do {
    index = elf::find_by_gnu_hash(word, 64, elf::gnu_hash(name), index, is_it);
    if (index) found.push_back(symbol);
  } while (index);
  return found;
}

uintptr_t RemoteObject::find(std::string_view name) const {
  std::vector<Elf64_Sym> found = find_all(name);
  bool is_function = !found.empty() && ELF64_ST_TYPE(found[0].st_info) == STT_FUNC;
  return is_function ? bias_ + found[0].st_value : 0;
}

bool RemoteObject::is_in(std::string_view name, uintptr_t address) const {
  for (const Elf64_Sym& symbol : find_all(name))
    if (address >= bias_ + symbol.st_value && address <= bias_ + symbol.st_value + symbol.st_size) return true;
  return false;
}

}  // namespace unfreed::trace
