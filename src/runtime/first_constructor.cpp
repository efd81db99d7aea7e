#include "runtime/first_constructor.h"

#include <elf.h>
#include <link.h>

#include "hook/own_exports.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

namespace unfreed::runtime {

namespace {

using Entry = ElfW(Dyn);

const Entry* find_entry(const link_map& map, ElfW(Sxword) tag) {
  for (const Entry* entry = map.l_ld; entry && entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == tag) return entry;
  return nullptr;
}

/// The library that the loader initialises first: this one, or one that it has loaded later. (If this one was loaded by
/// dlopen(), those before it have been initialised.)
const link_map* find_first() {
  const link_map* first = nullptr;
  for (const link_map* map = unwind::own_link_map(); map; map = unwind::next_searched(map)) {
    const Entry* flags = find_entry(*map, DT_FLAGS_1);
    if (flags && flags->d_un.d_val & DF_1_INITFIRST) first = map;
  }
  return first;
}

const link_map* g_first;
Constructor g_its_own;  ///< g_first's DT_INIT
Constructor g_ours;

bool set_init(const link_map& map, uintptr_t function) {
  auto* entry = const_cast<Entry*>(find_entry(map, DT_INIT));
  hook::WritableSegment access(hook::segment_of(map, 0, entry));
  if (access) entry->d_un.d_ptr = function - map.l_addr;
  return static_cast<bool>(access);
}

void initialise_both(int argc, char** argv, char** environment) {
  set_init(*g_first, reinterpret_cast<uintptr_t>(g_its_own));
  g_its_own(argc, argv, environment);
  g_ours(argc, argv, environment);
}

}  // namespace

void run_first(Constructor constructor) {
  g_first = find_first();
  if (!g_first || g_first == unwind::own_link_map()) return;
  const Entry* init = find_entry(*g_first, DT_INIT);
  if (!init) return;
  g_ours = constructor;
  g_its_own = reinterpret_cast<Constructor>(g_first->l_addr + init->d_un.d_ptr);
  set_init(*g_first, reinterpret_cast<uintptr_t>(&initialise_both));
}

}  // namespace unfreed::runtime
