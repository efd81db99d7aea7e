// The dynamic loader's list of loaded objects, as debuggers read it.
#pragma once

#include <link.h>

#ifndef __GLIBC__
/// musl's name for it.
extern "C" const r_debug* _dl_debug_addr;
#endif

namespace unfreed::unwind {

#ifdef __GLIBC__
inline const r_debug& loader_list() { return _r_debug; }
#else
inline const r_debug& loader_list() { return *_dl_debug_addr; }
#endif

}  // namespace unfreed::unwind
