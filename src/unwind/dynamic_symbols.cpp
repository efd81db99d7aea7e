#include "unwind/dynamic_symbols.h"

#include <dlfcn.h>
#include <sys/auxv.h>

#include <algorithm>

#include "elf/hash_tables.h"
#include "unwind/loader_list.h"
#include "unwind/moved_function.h"

namespace unfreed::unwind {

namespace {

constexpr ElfW(Versym) kFirstVersion = 2;  ///< below it: local, and global without a version

ElfW(Versym) version_number(ElfW(Versym) entry) { return entry & static_cast<ElfW(Versym)>(~kCompatVersion); }

uintptr_t distance(uintptr_t a, uintptr_t b) { return std::min(a - b, b - a); }

/// The entry at `at` of a list whose entries say how far away the next one is, 0 for none.
template <class Entry>
const Entry* entry_at(const std::byte* at, uint32_t offset = 0) {
  return reinterpret_cast<const Entry*>(at + offset);
}

}  // namespace

uintptr_t locate_in(const link_map& map, ElfW(Addr) value) {
  // glibc adds the bias in place, but not where the section is not writable (the vDSO's, MIPS's, RISC-V's). One of the
  // two lies in the object, and so nearer to the section.
  auto section = reinterpret_cast<uintptr_t>(map.l_ld);
  uintptr_t added = map.l_addr + value;
  return distance(value, section) <= distance(added, section) ? value : added;
}

template <class Locate>
void DynamicSymbols::read_section(const ElfW(Dyn) * entry, Locate locate) {
  for (; entry && entry->d_tag != DT_NULL; ++entry) {
    auto point = [&]<class Type>(const Type*& to) { to = reinterpret_cast<const Type*>(locate(entry->d_un.d_ptr)); };
    switch (entry->d_tag) {
      case DT_SYMTAB:
        point(symbols_);
        break;
      case DT_STRTAB:
        point(names_);
        break;
      case DT_GNU_HASH:
        point(gnu_hash_);
        break;
      case DT_HASH:
        point(sysv_hash_);
        break;
      case DT_VERSYM:
        point(versions_);
        break;
      case DT_VERDEF:
        point(defined_versions_);
        break;
      case DT_VERNEED:
        point(needed_versions_);
        break;
      case DT_SONAME:
        object_name_ = entry->d_un.d_val;
        break;
      default:
        break;
    }
  }
}

DynamicSymbols::DynamicSymbols(const Object& object) {
  auto is_inside = [&](uintptr_t address) { return address >= object.image.low && address < object.image.high; };
  read_section(dynamic_section(object), [&](uintptr_t value) {
    uintptr_t address = is_inside(value) ? value : object.bias + value;
    return is_inside(address) ? address : 0;
  });
}

DynamicSymbols::DynamicSymbols(const link_map& map) {
  read_section(map.l_ld, [&](uintptr_t value) { return locate_in(map, value); });
}

const ElfW(Sym) * DynamicSymbols::find(const SymbolName& name, const ElfW(Sym) * after) const {
  const uint32_t* table = gnu_hash_ ? gnu_hash_ : sysv_hash_;
  if (!has_names() || !table) return nullptr;
  auto word = [table](uint64_t at, uint32_t& out) {
    out = table[at / sizeof out];
    return true;
  };
  auto is_it = [&](uint32_t index) { return is_named(index, name.text); };
  auto last = after ? static_cast<uint32_t>(after - symbols_) : 0;
  uint32_t index = gnu_hash_ ? elf::find_by_gnu_hash(word, __ELF_NATIVE_CLASS, name.hash, last, is_it)
                             : elf::find_by_sysv_hash(word, name.text, last, is_it);
  return index ? &symbols_[index] : nullptr;
}

bool DynamicSymbols::is_named(uint32_t index, std::string_view name) const {
  const char* known = name_of(symbols_[index]);
  for (char c : name)
    if (*known++ != c) return false;
  return *known == '\0';
}

const ElfW(Sym) * DynamicSymbols::find_definition(const SymbolName& name, bool is_compat) const {
  for (auto* found = find(name); found; found = find(name, found)) {
    const ElfW(Versym)* version = version_place(found);
    bool hides = version && *version & kCompatVersion && version_number(*version) >= kFirstVersion;
    bool has_value = found->st_value || found->st_shndx == SHN_ABS;
    if (has_value && found->st_shndx != SHN_UNDEF && hides == is_compat) return found;
  }
  return nullptr;
}
const ElfW(Sym) * DynamicSymbols::find_default(const SymbolName& name) const { return find_definition(name, false); }
const ElfW(Sym) * DynamicSymbols::find_compat(const SymbolName& name) const { return find_definition(name, true); }

const ElfW(Versym) * DynamicSymbols::version_place(const ElfW(Sym) * symbol) const {
  return versions_ ? &versions_[symbol - symbols_] : nullptr;
}

const char* DynamicSymbols::version_of(const ElfW(Sym) * symbol) const {
  if (!defined_versions_ || !versions_) return "";
  ElfW(Versym) wanted = version_number(*version_place(symbol));
  const std::byte* at = defined_versions_;
  for (auto* entry = entry_at<ElfW(Verdef)>(at);; entry = entry_at<ElfW(Verdef)>(at += entry->vd_next)) {
    if (entry->vd_ndx == wanted) return names_ + entry_at<ElfW(Verdaux)>(at, entry->vd_aux)->vda_name;
    if (!entry->vd_next) return "";
  }
}

const ElfW(Sym) * DynamicSymbols::find_version(const SymbolName& name, const char* version) const {
  for (auto* found = find(name); found; found = find(name, found))
    if (found->st_shndx != SHN_UNDEF && is_same_text(version, version_of(found))) return found;
  return nullptr;
}

template <class Matches>
    const ElfW(Vernaux) * DynamicSymbols::find_need(Matches matches, Need* need) const {
  if (!needed_versions_) return nullptr;
  const std::byte* at = needed_versions_;
  for (auto* object = entry_at<ElfW(Verneed)>(at);; object = entry_at<ElfW(Verneed)>(at += object->vn_next)) {
    const std::byte* of_object = at + object->vn_aux;
    for (auto* entry = entry_at<ElfW(Vernaux)>(of_object);;
         entry = entry_at<ElfW(Vernaux)>(of_object += entry->vna_next)) {
      if (matches(*entry)) {
        if (need) *need = {names_ + object->vn_file, names_ + entry->vna_name};
        return entry;
      }
      if (!entry->vna_next) break;
    }
    if (!object->vn_next) return nullptr;
  }
}

ElfW(Versym) DynamicSymbols::number_of_needed(const char* version) const {
  auto* found = find_need([&](const ElfW(Vernaux) & entry) { return is_same_text(version, names_ + entry.vna_name); });
  return found ? version_number(found->vna_other) : 0;
}

DynamicSymbols::Need DynamicSymbols::need_of(const ElfW(Sym) * symbol) const {
  Need need;
  if (!versions_) return need;
  ElfW(Versym) wanted = version_number(*version_place(symbol));
  find_need([&](const ElfW(Vernaux) & entry) { return version_number(entry.vna_other) == wanted; }, &need);
  return need;
}

uint32_t DynamicSymbols::leading_symbols() const {
  if (!gnu_hash_) return 0;
  // Where nothing is defined there is a table all the same, with one empty bucket; it does not say where it begins.
  uint32_t bucket_count = gnu_hash_[0], first = gnu_hash_[1], filter_words = gnu_hash_[2];
  const uint32_t* buckets = gnu_hash_ + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
  return bucket_count == 1 && !buckets[0] ? 0 : first;
}

const link_map* own_link_map() {
  for (const link_map* map = loader_list().r_map; map; map = map->l_next)
    if (map->l_ld == _DYNAMIC) return map;
  // It is in a namespace of its own.
  static constinit MovedFunction<int(const void*, Dl_info*, void**, int)> dladdr1("dladdr1");
  Dl_info about;
  void* map = nullptr;
  bool is_found = dladdr1.get() && dladdr1.get()(_DYNAMIC, &about, &map, RTLD_DL_LINKMAP);
  return is_found ? static_cast<const link_map*>(map) : nullptr;
}

uintptr_t Definition::address() const {
  return symbol->st_shndx == SHN_ABS ? symbol->st_value : map->l_addr + symbol->st_value;
}

uintptr_t Definition::chosen_address() const {
  if (!is_indirect()) return address();
  // x86-64's resolvers take no argument; the others' first one is what the processor can do.
  auto resolver = reinterpret_cast<uintptr_t (*)(unsigned long)>(address());
  return resolver(getauxval(AT_HWCAP));
}

const link_map* next_searched(const link_map* map) {
  map = map->l_next;
  bool is_vdso = map && map->l_addr && map->l_addr == getauxval(AT_SYSINFO_EHDR);
  return is_vdso ? map->l_next : map;
}

Definition find_default(const SymbolName& name, const link_map* first, const link_map* end) {
  for (const link_map* map = first; map && map != end; map = next_searched(map))
    if (auto* symbol = DynamicSymbols(*map).find_default(name)) return {map, symbol};
  return {};
}

}  // namespace unfreed::unwind
