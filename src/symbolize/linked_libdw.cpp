// Instead of libdw.cpp, in a command that libdw is linked into: the static one.
#include <cstdlib>

#include "symbolize/libdw.h"

namespace unfreed::symbolize {

const Libdw* Libdw::get(std::string* reason) {
  static const Libdw functions = [] {
    unsetenv("DEBUGINFOD_URLS");
    Libdw all;
#define UNFREED_LIBDW_FUNCTION(name) all.name = &::name;
#include "symbolize/libdw_functions.inc"
#undef UNFREED_LIBDW_FUNCTION
    return all;
  }();
  if (reason) reason->clear();
  return &functions;
}

const bool kIsLibdwLinked = true;

// Asked about who calls open(). Nobody else does: the command's own files have 64-bit offsets (open64), and libc has
// names of its own for it.
bool is_in_libdw(const void*) { return true; }

// libdw would load its client of debug information servers, and a second libc with it.
extern "C" {
void* dlopen(const char*, int) noexcept { return nullptr; }
void* dlsym(void*, const char*) noexcept { return nullptr; }
char* dlerror() noexcept { return nullptr; }
int dlclose(void*) noexcept { return -1; }
}

}  // namespace unfreed::symbolize
