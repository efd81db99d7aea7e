#include "hook/own_calls.h"

#include "arch/machine.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/loader_list.h"
#ifndef __GLIBC__
#include "hook/own_exports.h"
#include "unwind/moved_function.h"
#endif

#ifndef __GLIBC__
extern "C" [[gnu::visibility("hidden")]] uintptr_t _GLOBAL_OFFSET_TABLE_[];
#endif

namespace unfreed::hook {

namespace {

using unwind::Definition;
using unwind::DynamicSymbols;

/// What this library was linked with. References to one object stand together more often than not.
class LinkedWith {
 public:
  explicit LinkedWith(const DynamicSymbols& own) : own_(own) {}

#ifdef __GLIBC__
  /// Data is not looked for: the executable may have a copy of it, which is the one in use then.
  Definition find_function(const ElfW(Sym) & reference) {
    DynamicSymbols::Need need = own_.need_of(&reference);
    if (!need.object) return {};
    if (need.object != name_) search(need.object);
    return function(map_, map_ ? symbols_.find_version(own_.name_of(reference), need.version) : nullptr);
  }
#else
  Definition find_function(const ElfW(Sym) & reference) {
    if (!map_) {
      Definition known = unwind::find_in_libc("__libc_start_main");
      if (!known) return {};
      map_ = known.map;
      symbols_ = DynamicSymbols(*map_);
    }
    return function(map_, symbols_.find_default(own_.name_of(reference)));
  }
#endif

 private:
  static Definition function(const link_map* map, const ElfW(Sym) * found) {
    auto type = found ? ELF64_ST_TYPE(found->st_info) : STT_NOTYPE;
    return type == STT_FUNC || type == STT_GNU_IFUNC ? Definition{map, found} : Definition{};
  }
#ifdef __GLIBC__
  void search(const char* name) {
    name_ = name;
    for (map_ = unwind::loader_list().r_map; map_; map_ = unwind::next_searched(map_)) {
      symbols_ = DynamicSymbols(*map_);
      if (unwind::is_same_text(name, symbols_.object_name())) return;
    }
  }

  const char* name_ = nullptr;  ///< of the object searched last
#endif

  const DynamicSymbols& own_;
  const link_map* map_ = nullptr;  ///< what was found last; nullptr: it is not there,
  DynamicSymbols symbols_ = own_;  ///< and its symbols
};

}  // namespace

void bind_own_calls() {
  const link_map* map = unwind::own_link_map();
  if (!map) return;
  DynamicSymbols own(*map);
  LinkedWith linked_with(own);
#ifndef __GLIBC__
  // In musl's programs the library is relocated by now, and these places are read-only.
  WritableSegment access(segment_of(*map, 0, _GLOBAL_OFFSET_TABLE_));
  if (!access) return;
#endif
  unwind::each_reference(*map, [&](const ElfW(Rela) & relocation, uint32_t index) {
    const ElfW(Sym)& symbol = own.symbol(index);
    if (symbol.st_shndx != SHN_UNDEF) return;
    if (Definition function = linked_with.find_function(symbol))
      *reinterpret_cast<uintptr_t*>(map->l_addr + relocation.r_offset) = function.chosen_address();
  });
}

bool can_call() {
  const link_map* map = unwind::own_link_map();
  if (!map) return true;
  DynamicSymbols own(*map);
  bool can = true;
  // Until then such a place holds an address that the loader has not added the library's own to. (Of a weak reference
  // it may stay 0.)
  unwind::each_reference(*map, [&](const ElfW(Rela) & relocation, uint32_t index) {
    bool is_call = ELF64_R_TYPE(relocation.r_info) == arch::kCallRelocation;
    if (is_call && ELF64_ST_BIND(own.symbol(index).st_info) != STB_WEAK)
      can = can && *reinterpret_cast<const uintptr_t*>(map->l_addr + relocation.r_offset) >= map->l_addr;
  });
  return can;
}

}  // namespace unfreed::hook
