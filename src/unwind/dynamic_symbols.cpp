#include "unwind/dynamic_symbols.h"

#include "elf/hash_tables.h"

namespace unfreed::unwind {

DynamicSymbols::DynamicSymbols(const Object& object) {
  for (const ElfW(Dyn)* entry = dynamic_section(object); entry && entry->d_tag != DT_NULL; ++entry) {
    // The loader has added the bias, but not where the section is not writable (the vDSO's).
    auto is_inside = [&](uintptr_t address) { return address >= object.image.low && address < object.image.high; };
    uintptr_t at = is_inside(entry->d_un.d_ptr) ? entry->d_un.d_ptr : object.bias + entry->d_un.d_ptr;
    if (!is_inside(at)) continue;
    if (entry->d_tag == DT_SYMTAB) symbols_ = reinterpret_cast<const ElfW(Sym)*>(at);
    if (entry->d_tag == DT_STRTAB) names_ = reinterpret_cast<const char*>(at);
    if (entry->d_tag == DT_GNU_HASH) gnu_hash_ = reinterpret_cast<const uint32_t*>(at);
    if (entry->d_tag == DT_HASH) sysv_hash_ = reinterpret_cast<const uint32_t*>(at);
  }
}

const ElfW(Sym) * DynamicSymbols::find(std::string_view name, const ElfW(Sym) * after) const {
  const uint32_t* table = gnu_hash_ ? gnu_hash_ : sysv_hash_;
  if (!symbols_ || !names_ || !table) return nullptr;
  auto word = [table](uint64_t at, uint32_t& out) {
    out = table[at / sizeof out];
    return true;
  };
  auto is_it = [&](uint32_t index) { return name == names_ + symbols_[index].st_name; };
  auto last = after ? static_cast<uint32_t>(after - symbols_) : 0;
  uint32_t index = gnu_hash_ ? elf::find_by_gnu_hash(word, __ELF_NATIVE_CLASS, name, last, is_it)
                             : elf::find_by_sysv_hash(word, name, last, is_it);
  return index ? &symbols_[index] : nullptr;
}

}  // namespace unfreed::unwind
