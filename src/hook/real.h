// The real functions behind the hooks: those that dlsym(RTLD_NEXT) finds, but without it. A failing dlsym allocates an
// error text, by a malloc that may be the program's own, which may call hooks before it is ready; and it takes
// the loader's lock. So the loader's tables are read directly, and nothing is called.
//
// It happens while the loader relocates this library, which is before any code of the process runs. A hook just calls
// g_real.open(…): no check, no first-call branch.
#pragma once

#include <cstdint>

#include "hook/libc_functions.h"

namespace unfreed::hook {

/// Acquiring functions by number, as sites and failures name them.
enum class Hook : uint16_t {
#define HOOK(symbol, shown, family, presence) symbol,
#include "hook/hooks.inc"
#undef HOOK
  count_
};
constexpr uint16_t hook_number(Hook hook) { return static_cast<uint16_t>(hook); }

struct Real {
#define HOOK(symbol, shown, family, presence) decltype(&::symbol) symbol;
#include "hook/hooks.inc"
#undef HOOK
};
[[gnu::visibility("hidden")]] extern constinit Real g_real;

/// Finds every real function, and hides the hooks that have none. Idempotent. Called while the loader relocates this
/// library.
void resolve_real_functions();

/// Was this library loaded by dlopen() into a process that ran already (unfreed attach --preload)? Then nothing finds
/// its hooks by name; they are put in place one by one (hook/redirect.h).
bool is_loaded_late();
/// Was it loaded at the program's start all the same, but behind libc, which so bypasses the hooks? (The loader comes
/// after all that is preloaded.)
bool is_behind_libc();

/// In a library that was loaded late: the real function and the hook of row `row` of hooks.inc; 0: it has none, or its
/// calls are not to be redirected.
struct Interposed {
  uintptr_t real = 0;
  uintptr_t hook = 0;
};
constexpr size_t kHookCount = hook_number(Hook::count_);
Interposed interposed(size_t row);
/// Is it that row's name?
bool is_named(size_t row, const char* name);

/// The names of hooked functions for reports, each NUL-terminated, in Hook order; `bytes` receives the total length.
const char* hook_names(size_t& bytes);

/// How the process's C++ allocation functions relate to its malloc.
enum class CxxHeap : uint8_t {
  over_malloc,  ///< libstdc++'s (or none): new is malloc, delete is free
  own,          ///< the allocator library has its own, which do not call malloc
  passing,      ///< ours only pass on: the program has its own, or this form calls another that is hooked
  mixed,        ///< an allocator library has some of the forms
};
extern CxxHeap g_cxx_heap;
/// For CxxHeap::mixed: the relation of one form.
CxxHeap cxx_heap_of(Hook form);

/// Is glibc's malloc behind the hook? Never in a program of musl.
bool malloc_is_glibcs();
/// Is code at `pc` part of the program or library whose malloc is in use, if that is not glibc's?
bool is_in_other_malloc(uintptr_t pc);
/// Of a process whose malloc is found before the hook: its own realloc and free, by which functions have to go that it
/// lacks (few allocators have reallocarray). Both or none.
struct ForeignHeap {
  void* (*realloc)(void* block, size_t bytes);
  void (*free)(void* block);
};
extern ForeignHeap g_foreign_heap;
/// The object whose malloc is found before the hook, so that its blocks are not seen: a library's path, "" for
/// the program itself; nullptr: none.
const char* foreign_malloc();

}  // namespace unfreed::hook

/// A hook: exported, and never merged with an identical one.
#define UNFREED_HOOK extern "C" __attribute__((visibility("default"), used))
