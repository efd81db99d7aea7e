#include "symbolize/libdw.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>

#include "base/text.h"

namespace unfreed::symbolize {

namespace {

struct Loaded {
  Libdw functions;
  bool usable = false;
  std::string reason;
};

template <class Function>
bool find(void* library, const char* name, Function& out, std::string& reason) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  if (!out) reason = std::string("libdw.so.1 has no ") + name;
  return out != nullptr;
}

Loaded load() {
  Loaded loaded;
  unsetenv("DEBUGINFOD_URLS");
  void* library = dlopen("libdw.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!library) {
    const char* error = dlerror();
    loaded.reason = error ? error : "libdw.so.1 cannot be loaded";
    return loaded;
  }
  loaded.usable = true;
#define UNFREED_LIBDW_FUNCTION(name) \
  loaded.usable = loaded.usable && find(library, #name, loaded.functions.name, loaded.reason);
#include "symbolize/libdw_functions.inc"
#undef UNFREED_LIBDW_FUNCTION
  return loaded;
}

}  // namespace

const bool kIsLibdwLinked = false;

bool is_in_libdw(const void* code) {
  Dl_info info;
  if (!dladdr(code, &info) || !info.dli_fname) return false;
  std::string_view library = base::base_name(info.dli_fname);
  return library.starts_with("libdw") || library.starts_with("libelf");
}

const Libdw* Libdw::get(std::string* reason) {
  static const Loaded loaded = load();
  if (reason) *reason = loaded.reason;
  return loaded.usable ? &loaded.functions : nullptr;
}

}  // namespace unfreed::symbolize
