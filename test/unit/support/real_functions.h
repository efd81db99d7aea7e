// libc's functions behind the hooks, for a test that links a file of src/hook alone. Include it in one source file.
#pragma once

#include <dlfcn.h>

#include "hook/real.h"

namespace unfreed::hook {

constinit Real g_real{};

namespace {

template <class Function>
void find_real(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

[[gnu::constructor]] void find_real_functions() {
#define HOOK(symbol, shown, family, presence) find_real(g_real.symbol, #symbol);
#include "hook/hooks.inc"
#undef HOOK
}

}  // namespace
}  // namespace unfreed::hook
