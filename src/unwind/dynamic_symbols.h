// A loaded object's exports by name: reads its hash table of dynamic symbols in memory. dladdr
// goes through every symbol of an object; dlsym takes the loader's lock, and allocates an error text if it finds
// nothing.
#pragma once

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "elf/hash_tables.h"
#include "unwind/objects.h"

namespace unfreed::unwind {

/// A symbol's name with its hash, which is computed at compile time if the name is a constant.
struct SymbolName {
  constexpr SymbolName(std::string_view name) : text(name), hash(elf::gnu_hash(name)) {}
  constexpr SymbolName(const char* name) : text(), hash(elf::kGnuHashStart) {
    size_t bytes = 0;
    for (; name[bytes]; ++bytes) hash = elf::gnu_hash_step(hash, name[bytes]);
    text = {name, bytes};
  }
  constexpr SymbolName(std::string_view name, uint32_t known_hash) : text(name), hash(known_hash) {}

  std::string_view text;
  uint32_t hash;
};

/// Without libc's functions, which this library must not call before it has been relocated.
constexpr bool is_same_text(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

/// An entry in a table of versions: only references to this version find the symbol.
inline constexpr ElfW(Versym) kCompatVersion = 0x8000;

/// Valid while the object is loaded. Reads the loader's own data, unchecked. Async-signal-safe; calls nothing
/// of libc's.
class DynamicSymbols {
 public:
  explicit DynamicSymbols(const Object& object);
  explicit DynamicSymbols(const link_map& map);

  /// The first symbol of that name, or the next one after `after`: a name may have several versions. nullptr: there is
  /// none. Also finds an executable's stand-in for another object's function, which is undefined but has a value.
  const ElfW(Sym) * find(const SymbolName& name, const ElfW(Sym) * after = nullptr) const;

  /// The definition that dlsym finds, which asks for no version: the default version's. nullptr: there is none.
  const ElfW(Sym) * find_default(const SymbolName& name) const;

  /// A definition that only references to its version find: libc keeps such "compat symbols" for programs linked long
  /// ago. nullptr: there is none.
  const ElfW(Sym) * find_compat(const SymbolName& name) const;

  /// The version of a definition, "" for none.
  const char* version_of(const ElfW(Sym) * symbol) const;

  /// The number that this object gives to a version which it needs of another object; 0 if it needs none of that name.
  ElfW(Versym) number_of_needed(const char* version) const;

  /// A symbol's place in the table of versions; nullptr if the object has no such table.
  const ElfW(Versym) * version_place(const ElfW(Sym) * symbol) const;

  const ElfW(Sym) & symbol(uint32_t index) const { return symbols_[index]; }
  const char* name_of(const ElfW(Sym) & symbol) const { return names_ + symbol.st_name; }
  bool has_names() const { return symbols_ && names_; }

  /// The definition of that very version, default or not. nullptr: there is none.
  const ElfW(Sym) * find_version(const SymbolName& name, const char* version) const;

  /// The object and version from which this object needs a symbol that it does not define.
  struct Need {
    const char* object = nullptr;  ///< its name (DT_SONAME); nullptr: no particular one
    const char* version = nullptr;
  };
  Need need_of(const ElfW(Sym) * symbol) const;

  /// The object's own name (DT_SONAME), "" if it has none.
  const char* object_name() const { return names_ ? names_ + object_name_ : ""; }

  /// How many symbols precede the first one in the hash table: none of them is defined here, nor was it elsewhere
  /// when the object was linked. 0: unknown.
  uint32_t leading_symbols() const;

 private:
  template <class Locate>
  void read_section(const ElfW(Dyn) * entry, Locate locate);
  const ElfW(Sym) * find_definition(const SymbolName& name, bool is_compat) const;
  bool is_named(uint32_t index, std::string_view name) const;
  template <class Matches>
      const ElfW(Vernaux) * find_need(Matches matches, Need* need = nullptr) const;

  const ElfW(Sym) * symbols_ = nullptr;
  const char* names_ = nullptr;
  const uint32_t* gnu_hash_ = nullptr;
  const uint32_t* sysv_hash_ = nullptr;
  const ElfW(Versym) * versions_ = nullptr;
  size_t object_name_ = 0;  ///< in names_, which begins with ""
  const std::byte* defined_versions_ = nullptr;
  const std::byte* needed_versions_ = nullptr;
};

/// The address in a loaded object's dynamic section, whether or not the loader has added the load bias to it.
uintptr_t locate_in(const link_map& map, ElfW(Addr) value);

/// Calls `visit` with every relocation of a loaded object that refers to a symbol by its index. Other relocations are
/// no references.
template <class Visit>
void each_reference(const link_map& map, Visit visit) {
  const ElfW(Dyn) * entries[DT_JMPREL + 1] = {};
  for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag > 0 && entry->d_tag <= DT_JMPREL) entries[entry->d_tag] = entry;
  for (auto [table, bytes] : {std::pair(DT_RELA, DT_RELASZ), std::pair(DT_JMPREL, DT_PLTRELSZ)}) {
    if (!entries[table] || !entries[bytes]) continue;
    auto* relocation = reinterpret_cast<const ElfW(Rela)*>(locate_in(map, entries[table]->d_un.d_ptr));
    for (size_t left = entries[bytes]->d_un.d_val / sizeof *relocation; left; --left, ++relocation)
      if (auto index = static_cast<uint32_t>(ELF64_R_SYM(relocation->r_info))) visit(*relocation, index);
  }
}

/// The loader's record of this library (or program) itself; nullptr if it lies in a namespace of its own.
const link_map* own_link_map();

/// A definition and the object that it is in.
struct Definition {
  const link_map* map = nullptr;
  const ElfW(Sym) * symbol = nullptr;

  explicit operator bool() const { return symbol; }
  /// Of an indirect function (IFUNC): its resolver's.
  uintptr_t address() const;
  bool is_indirect() const { return ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC; }
  /// The result of an indirect function's resolver: it is called, so the object must have been relocated.
  uintptr_t chosen_address() const;
};

/// The object that the loader searches next for a name in the global scope: in the order of its list, without the
/// vDSO, which it does not search. For objects that were loaded at the start of the process.
const link_map* next_searched(const link_map* map);

/// What dlsym would find in the objects from `first` up to `end`, in the order in which the loader searches them.
Definition find_default(const SymbolName& name, const link_map* first, const link_map* end = nullptr);

}  // namespace unfreed::unwind
