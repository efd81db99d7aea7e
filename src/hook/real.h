// The real functions behind the hooks, found once with dlsym(RTLD_NEXT).
//
// Until they are found each pointer leads to a stub that finds all of them and goes on to the real one, so a hook just
// calls g_real.open(…): no check, no first-call branch.
#pragma once

#include <cstdint>

#include "hook/libc_functions.h"

namespace unfreed::hook {

/// Acquiring functions by number, as sites and failures name them.
enum class Door : uint16_t {
#define HOOK(symbol, shown, family, presence) symbol,
#include "hook/hooks.inc"
#undef HOOK
  count_
};
constexpr uint16_t door(Door d) { return static_cast<uint16_t>(d); }

struct Real {
#define HOOK(symbol, shown, family, presence) decltype(&::symbol) symbol;
#include "hook/hooks.inc"
#undef HOOK
};
[[gnu::visibility("hidden")]] extern constinit Real g_real;

/// Finds every real function. Idempotent; called by the library's constructor and by the stubs, whichever comes first.
void resolve_real_functions();

/// The shown names of all doors, each NUL-terminated, in Door order; `bytes` receives the total length.
const char* door_names(size_t& bytes);

/// Is there a real function behind this door, or only a stand-in that answers ENOSYS?
bool real_exists(Door d);

/// How the process's C++ allocation functions relate to its malloc.
enum class CxxHeap : uint8_t {
  over_malloc,  ///< libstdc++'s (or none): new is malloc, delete is free
  own,          ///< the allocator library brings its own, which do not come by malloc
  passing,      ///< ours only pass on: the program has its own, or this form goes on to another that is hooked
  mixed,        ///< an allocator library brings some of the forms: it depends
};
extern CxxHeap g_cxx_heap;
/// For CxxHeap::mixed: how it is with one form.
CxxHeap cxx_heap_of(Door form);

/// Does the process's malloc come from libc?  Does the global `malloc` resolve to our hook?
bool malloc_is_libc();
bool malloc_is_hooked();

}  // namespace unfreed::hook

/// A hook: exported, and never merged with an identical one.
#define UNFREED_HOOK extern "C" __attribute__((visibility("default"), used))
