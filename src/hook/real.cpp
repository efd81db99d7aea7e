#include "hook/real.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "hook/own_exports.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/loader_list.h"
#include "unwind/objects.h"

namespace unfreed::hook {

namespace {

using unwind::Definition;
using unwind::SymbolName;

constexpr size_t kCount = hook_number(Hook::count_);

/// The rows' names, without pointers, which the loader would have to relocate in every process.
constexpr char kNameTexts[] =
#define HOOK(symbol, shown, family, presence) #symbol "\0"
#include "hook/hooks.inc"
#undef HOOK
    ;
struct NamePlace {
  uint16_t start;
  uint16_t bytes;
  uint32_t hash;
};
struct NamePlaces {
  NamePlace of[kCount];
};
constexpr NamePlaces kNamePlaces = [] {
  NamePlaces places{};
  std::string_view texts(kNameTexts, sizeof kNameTexts - 1);
  size_t start = 0;
  for (NamePlace& place : places.of) {
    std::string_view name = texts.substr(start, texts.find('\0', start) - start);
    place = {static_cast<uint16_t>(start), static_cast<uint16_t>(name.size()), SymbolName(name).hash};
    start += name.size() + 1;
  }
  return places;
}();
static_assert(sizeof kNameTexts <= UINT16_MAX);

SymbolName name_of(size_t row) {
  const NamePlace& place = kNamePlaces.of[row];
  return {{kNameTexts + place.start, place.bytes}, place.hash};
}
SymbolName name_of(Hook hook) { return name_of(hook_number(hook)); }

/// Stand for a function that no other library has: whatever its arguments, it says so.
long missing() {
  errno = ENOSYS;
  return -1;
}
void* missing_pointer() {
  errno = ENOSYS;
  return nullptr;
}

// By conversion: a function's pointer type also says noexcept and noreturn.
template <class Result, class... Arguments>
constexpr bool returns_pointer(Result (*)(Arguments...)) {
  return std::is_pointer_v<Result>;
}
template <class Result, class... Arguments>
constexpr bool returns_pointer(Result (*)(Arguments..., ...)) {
  return std::is_pointer_v<Result>;
}
constexpr bool kReturnsPointer[kCount] = {
#define HOOK(symbol, shown, family, presence) returns_pointer(static_cast<decltype(&::symbol)>(nullptr)),
#include "hook/hooks.inc"
#undef HOOK
};

static_assert(sizeof(Real) == kCount * sizeof(void*));
void set_real(size_t row, uintptr_t function) {
  std::memcpy(reinterpret_cast<std::byte*>(&g_real) + row * sizeof function, &function, sizeof function);
}
void set_missing(size_t row) {
  set_real(row, kReturnsPointer[row] ? reinterpret_cast<uintptr_t>(&missing_pointer)
                                     : reinterpret_cast<uintptr_t>(&missing));
}

/// What lies behind the hooks: in the objects that the loader searches after this library, as dlsym(RTLD_NEXT) finds
/// it. Of a function that is there for references to an old version only: that one.
struct LookUp {
  Definition of[kCount];
  bool is_compat[kCount] = {};

  /// The objects from `first` up to `end`.
  explicit LookUp(const link_map* first, const link_map* end) {
    uint16_t missing[kCount];
    size_t count = kCount;
    for (size_t row = 0; row < kCount; ++row) missing[row] = static_cast<uint16_t>(row);
    for (const link_map* map = first; map && map != end && count; map = unwind::next_searched(map)) {
      unwind::DynamicSymbols symbols(*map);
      size_t left = 0;
      for (size_t i = 0; i < count; ++i)
        if (!look_in(symbols, *map, missing[i])) missing[left++] = missing[i];
      count = left;
    }
  }

 private:
  bool look_in(const unwind::DynamicSymbols& symbols, const link_map& map, size_t row) {
    auto* found = symbols.find_default(name_of(row));
    if (found) {
      of[row] = {&map, found};
      is_compat[row] = false;
    } else if (!of[row]) {
      if (auto* compat = symbols.find_compat(name_of(row))) of[row] = {&map, compat};
      is_compat[row] = static_cast<bool>(of[row]);
    }
    return found;
  }
};

void hide_missing(const link_map& own, const LookUp& found) {
  OwnExports exports(own);
  for (size_t row = 0; row < kCount; ++row) {
    if (!found.of[row])
      exports.hide(name_of(row));
    else if (found.is_compat[row])
      exports.limit_to_version(name_of(row),
                               unwind::DynamicSymbols(*found.of[row].map).version_of(found.of[row].symbol));
  }
  exports.reset_references_to_hidden();
}

const link_map* g_own;
const link_map* g_libc;
bool g_is_late;

bool is_libc(const link_map& map) {
  return unwind::is_same_text(unwind::DynamicSymbols(map).object_name(), "libc.so.6");
}

/// libc's own object: others may define functions of its names. `is_before`: the loader searches it before this
/// library.
const link_map* find_libc(const link_map& own, bool& is_before) {
  for (const link_map* map = own.l_prev; map; map = map->l_prev)
    if (is_libc(*map)) {
      is_before = true;
      return map;
    }
  is_before = false;
  for (const link_map* map = own.l_next; map; map = map->l_next)
    if (is_libc(*map)) return map;
  return nullptr;
}

/// The first object that is searched for the real functions.
const link_map* first_searched() { return g_is_late ? unwind::loader_list().r_map : g_own; }
/// The first one whose definitions the program gets in spite of the hooks, and the one before which they end. (Calls
/// within an object may have no reference that could be redirected: those of an executable with an allocator of its
/// own.)
const link_map* end_of_bypassing() { return g_is_late ? unwind::next_searched(unwind::loader_list().r_map) : g_own; }

CxxHeap g_cxx_forms[kCount];

/// libstdc++'s other forms call its two basic ones of new and of delete: plain, and aligned.
constexpr Hook basic_form(std::string_view symbol) {
  bool aligned = symbol.find("St11align_val_t") != symbol.npos;
  if (symbol.starts_with("_Zn")) return aligned ? Hook::_ZnwmSt11align_val_t : Hook::_Znwm;
  return aligned ? Hook::_ZdlPvSt11align_val_t : Hook::_ZdlPv;
}

/// Rows of the family, by HOOK's arguments.
constexpr bool is_cxx(std::string_view family) { return family == "heap_cxx"; }

/// Has a library before this one, or the program, any of the forms?
bool has_own_cxx_heap() {
  for (const link_map* map = unwind::loader_list().r_map; map && map != end_of_bypassing();
       map = unwind::next_searched(map)) {
    unwind::DynamicSymbols symbols(*map);
#define HOOK(symbol, shown, family, presence) \
  if (is_cxx(#family) && symbols.find_default(name_of(Hook::symbol))) return true;
#include "hook/hooks.inc"
#undef HOOK
  }
  return false;
}

CxxHeap judge_cxx_heap(const LookUp& found) {
  bool has_any = false;
#define HOOK(symbol, shown, family, presence) \
  if (is_cxx(#family)) has_any = has_any || found.of[hook_number(Hook::symbol)];
#include "hook/hooks.inc"
#undef HOOK
  if (!has_any) return CxxHeap::over_malloc;
  // libstdc++'s own forms call a malloc that is not behind the hook.
  if (has_own_cxx_heap() || g_foreign_heap.free) return CxxHeap::passing;
  const link_map* libstdcxx = unwind::find_default("_ZSt15get_new_handlerv", first_searched()).map;
  bool is_libstdcxx[kCount] = {};
  CxxHeap all = CxxHeap::over_malloc;
#define HOOK(symbol, shown, family, presence)                                 \
  if (is_cxx(#family)) {                                                      \
    const Definition& real = found.of[hook_number(Hook::symbol)];             \
    is_libstdcxx[hook_number(Hook::symbol)] = !real || real.map == libstdcxx; \
    if (!is_libstdcxx[hook_number(Hook::symbol)]) all = CxxHeap::mixed;       \
  }
#include "hook/hooks.inc"
#undef HOOK
#define HOOK(symbol, shown, family, presence)                                                                \
  if constexpr (is_cxx(#family)) {                                                                           \
    constexpr Hook kBasic = basic_form(#symbol);                                                             \
    g_cxx_forms[hook_number(Hook::symbol)] = !is_libstdcxx[hook_number(Hook::symbol)] ? CxxHeap::own         \
                                             : is_libstdcxx[hook_number(kBasic)]      ? CxxHeap::over_malloc \
                                                                                      : CxxHeap::passing;         \
  }
#include "hook/hooks.inc"
#undef HOOK
  return all;
}

Definition find_foreign_malloc() {
  return unwind::find_default(name_of(Hook::malloc), unwind::loader_list().r_map, end_of_bypassing());
}

void find_foreign_heap() {
  auto find = [](Hook hook) {
    return unwind::find_default(name_of(hook), unwind::loader_list().r_map, end_of_bypassing());
  };
  Definition realloc = find(Hook::realloc), free = find(Hook::free);
  if (!realloc || !free || realloc.is_indirect() || free.is_indirect()) return;
  g_foreign_heap = {reinterpret_cast<decltype(ForeignHeap::realloc)>(realloc.address()),
                    reinterpret_cast<decltype(ForeignHeap::free)>(free.address())};
}

bool g_malloc_is_glibcs;

/// Empty: malloc is glibc's.
unwind::Image g_other_malloc{};
void note_other_malloc(const Definition& malloc) {
  unwind::Object object;
  if (malloc && malloc.map != g_libc && unwind::find_object(malloc.address(), object)) g_other_malloc = object.image;
}

/// In a library that was loaded late, by row: has it a real function, other than one that the program itself defines,
/// which it calls directly?
bool g_may_redirect[kCount];
constexpr bool is_heap(std::string_view family) { return family.starts_with("heap"); }
constexpr bool kIsHeap[kCount] = {
#define HOOK(symbol, shown, family, presence) is_heap(#family),
#include "hook/hooks.inc"
#undef HOOK
};

void find_redirected(const LookUp& found, bool has_own_heap) {
  for (size_t row = 0; row < kCount; ++row) {
    bool is_programs = found.of[row].map == unwind::loader_list().r_map || (kIsHeap[row] && has_own_heap);
    g_may_redirect[row] = found.of[row] && !found.is_compat[row] && !is_programs;
  }
}

bool g_resolved;

}  // namespace

constinit Real g_real{};

CxxHeap g_cxx_heap = CxxHeap::over_malloc;
constinit ForeignHeap g_foreign_heap{};

void resolve_real_functions() {
  if (g_resolved) return;
  g_resolved = true;
  g_own = unwind::own_link_map();
  if (!g_own) return;
  g_libc = find_libc(*g_own, g_is_late);
  LookUp found(g_is_late ? unwind::loader_list().r_map : unwind::next_searched(g_own), g_own);
  for (size_t row = 0; row < kCount; ++row) {
    if (found.of[row] && !found.of[row].is_indirect())
      set_real(row, found.of[row].address());
    else
      set_missing(row);
  }
  if (!g_is_late) hide_missing(*g_own, found);
  const Definition foreign = find_foreign_malloc();
  if (foreign) find_foreign_heap();
  g_cxx_heap = judge_cxx_heap(found);
  g_malloc_is_glibcs = g_libc && found.of[hook_number(Hook::malloc)].map == g_libc;
  note_other_malloc(foreign ? foreign : found.of[hook_number(Hook::malloc)]);
  if (g_is_late) find_redirected(found, static_cast<bool>(foreign));
  // Resolvers may call hooks: they come last, when everything else is known.
  for (size_t row = 0; row < kCount; ++row)
    if (found.of[row] && found.of[row].is_indirect()) set_real(row, found.of[row].chosen_address());
}

bool is_loaded_late() { return g_is_late; }

bool is_behind_libc() {
  const link_map* map = g_is_late ? g_own->l_prev : nullptr;
  while (map && map->l_addr != unwind::loader_list().r_ldbase) map = map->l_prev;
  return g_is_late && !map;
}

bool is_named(size_t row, const char* name) { return unwind::is_same_text(name_of(row).text.data(), name); }

Interposed interposed(size_t row) {
  const ElfW(Sym)* own = g_own && g_may_redirect[row] ? unwind::DynamicSymbols(*g_own).find(name_of(row)) : nullptr;
  if (!own) return {};
  Interposed out;
  std::memcpy(&out.real, reinterpret_cast<const std::byte*>(&g_real) + row * sizeof out.real, sizeof out.real);
  out.hook = g_own->l_addr + own->st_value;
  return out;
}

const char* hook_names(size_t& bytes) {
  static constexpr char kNames[] =
#define HOOK(symbol, shown, family, presence) #shown "\0"
#include "hook/hooks.inc"
#undef HOOK
      ;
  bytes = sizeof kNames - 1;
  return kNames;
}

CxxHeap cxx_heap_of(Hook form) { return g_cxx_forms[hook_number(form)]; }

bool malloc_is_glibcs() { return g_malloc_is_glibcs; }

bool is_in_other_malloc(uintptr_t pc) { return pc >= g_other_malloc.low && pc < g_other_malloc.high; }

const char* foreign_malloc() {
  Definition first = find_foreign_malloc();
  return first ? first.map->l_name : nullptr;
}

}  // namespace unfreed::hook
