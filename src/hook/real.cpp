#include "hook/real.h"

#include <elf.h>
#include <link.h>

#include <cerrno>
#include <cstdarg>
#include <string_view>
#include <type_traits>

#include "hook/early_heap.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

namespace unfreed::hook {

namespace {

/// The first call of a function comes here if it is made before our constructor (another library's constructor).
template <auto kMember, class Function>
struct Stub;
template <auto kMember, class Result, class... Arguments, bool kNoexcept>
struct Stub<kMember, Result (*)(Arguments...) noexcept(kNoexcept)> {
  static Result call(Arguments... arguments) noexcept(kNoexcept) {
    resolve_real_functions();
    return (g_real.*kMember)(arguments...);
  }
};
/// Variadic functions of libc take integers and pointers only, six at most: passed on as registers.
template <auto kMember, class Result, class... Arguments, bool kNoexcept>
struct Stub<kMember, Result (*)(Arguments..., ...) noexcept(kNoexcept)> {
  static Result call(Arguments... arguments, ...) noexcept(kNoexcept) {
    resolve_real_functions();
    va_list list;
    __builtin_va_start(list, 0);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    return (g_real.*kMember)(arguments..., a, b, c, d, e, f);
  }
};

/// Stands for a function that this libc does not have.
template <class Function>
struct Missing;
template <class Result, class... Arguments, bool kNoexcept>
struct Missing<Result (*)(Arguments...) noexcept(kNoexcept)> {
  static Result call(Arguments...) noexcept(kNoexcept) {
    errno = ENOSYS;
    if constexpr (std::is_integral_v<Result>) return static_cast<Result>(-1);
    if constexpr (std::is_pointer_v<Result>) return nullptr;
  }
};
template <class Result, class... Arguments, bool kNoexcept>
struct Missing<Result (*)(Arguments..., ...) noexcept(kNoexcept)> {
  static Result call(Arguments..., ...) noexcept(kNoexcept) {
    errno = ENOSYS;
    return static_cast<Result>(-1);
  }
};

bool g_exists[door(Door::count_)];

template <class Function>
Function look_up(Door d, const char* name, Function stub) {
  void* found = dlsym(RTLD_NEXT, name);
  g_exists[door(d)] = found;
  if (!found) return stub;
  return reinterpret_cast<Function>(found);
}

uintptr_t object_of(void* address) {
  unwind::Object object;
  return unwind::find_object(reinterpret_cast<uintptr_t>(address), object) ? object.image.low : 0;
}

constinit unwind::Object g_own_object;

/// Does the process's use of `name` lead to this library?
bool is_ours(const char* name) {
  auto first = reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, name));
  if (!first || (first >= g_own_object.image.low && first < g_own_object.image.high)) return true;
  unwind::Object object;
  if (!unwind::find_object(first, object)) return false;
  // A non-PIC executable that takes the function's address has a stand-in for it: an undefined symbol with a value.
  const ElfW(Sym)* symbol = unwind::DynamicSymbols(object).find(name);
  return symbol && symbol->st_shndx == SHN_UNDEF;
}

CxxHeap g_cxx_forms[door(Door::count_)];

/// libstdc++'s other forms call its two basic ones of new and of delete: plain, and aligned.
Door basic_form(std::string_view symbol) {
  bool aligned = symbol.find("St11align_val_t") != symbol.npos;
  if (symbol.starts_with("_Zn")) return aligned ? Door::_ZnwmSt11align_val_t : Door::_Znwm;
  return aligned ? Door::_ZdlPvSt11align_val_t : Door::_ZdlPv;
}

CxxHeap judge_cxx_heap() {
  uintptr_t libstdcxx = object_of(dlsym(RTLD_NEXT, "_ZSt15get_new_handlerv"));
  bool is_libstdcxx[door(Door::count_)];
  CxxHeap all = CxxHeap::over_malloc;
#define HOOK(symbol, shown, family, presence)                                                                     \
  if (std::string_view(#family) == "heap_cxx") {                                                                  \
    if (!is_ours(#symbol)) return CxxHeap::passing;                                                               \
    bool standard = !real_exists(Door::symbol) || object_of(reinterpret_cast<void*>(g_real.symbol)) == libstdcxx; \
    is_libstdcxx[door(Door::symbol)] = standard;                                                                  \
    if (!standard) all = CxxHeap::mixed;                                                                          \
  }
#include "hook/hooks.inc"
#undef HOOK
#define HOOK(symbol, shown, family, presence)                                                          \
  if (std::string_view(#family) == "heap_cxx")                                                         \
    g_cxx_forms[door(Door::symbol)] = !is_libstdcxx[door(Door::symbol)]         ? CxxHeap::own         \
                                      : is_libstdcxx[door(basic_form(#symbol))] ? CxxHeap::over_malloc \
                                                                                : CxxHeap::passing;
#include "hook/hooks.inc"
#undef HOOK
  return all;
}

enum class Resolution : uint8_t { none, under_way, done };
Resolution g_resolution;

}  // namespace

constinit Real g_real = {
#define HOOK(symbol, shown, family, presence) &Stub<&Real::symbol, decltype(&::symbol)>::call,
#include "hook/hooks.inc"
#undef HOOK
};

CxxHeap g_cxx_heap = CxxHeap::over_malloc;

void resolve_real_functions() {
  // The first caller is the loader or a constructor, so there is one thread; what comes in meanwhile is dlsym's own
  // allocation, served from early memory.
  if (g_resolution != Resolution::none) return;
  g_resolution = Resolution::under_way;
  unwind::prepare_objects();
  unwind::find_object(reinterpret_cast<uintptr_t>(&resolve_real_functions), g_own_object);
  set_early_heap(true);
  // A look-up that fails frees the message of the one that failed before it, so the real free comes first.
  g_real.free = look_up<decltype(&::free)>(Door::free, "free", g_real.free);
#define HOOK(symbol, shown, family, presence) \
  g_real.symbol = look_up<decltype(&::symbol)>(Door::symbol, #symbol, &Missing<decltype(&::symbol)>::call);
#include "hook/hooks.inc"
#undef HOOK
  g_cxx_heap = judge_cxx_heap();
  set_early_heap(false);
  g_resolution = Resolution::done;
}

const char* door_names(size_t& bytes) {
  static constexpr char kNames[] =
#define HOOK(symbol, shown, family, presence) #shown "\0"
#include "hook/hooks.inc"
#undef HOOK
      ;
  bytes = sizeof kNames - 1;
  return kNames;
}

bool real_exists(Door d) { return g_exists[door(d)]; }

CxxHeap cxx_heap_of(Door form) { return g_cxx_forms[door(form)]; }

bool malloc_is_libc() {
  return object_of(reinterpret_cast<void*>(g_real.malloc)) == object_of(reinterpret_cast<void*>(&::dirfd));
}

bool malloc_is_hooked() { return is_ours("malloc"); }

}  // namespace unfreed::hook
