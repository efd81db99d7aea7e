// libdw, loaded when first needed. Starting a program must not pay for a DWARF reader and the decompressors
// behind it (libdw, libelf, zlib, liblzma, libbz2), and most programs on a distribution carry no debug information to
// read. A machine without libdw still gets its reports, with names from symbol tables.
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <string>

namespace unfreed::symbolize {

/// libdw's functions under their own names, each with its own type: a changed signature does not compile.
struct Libdw {
#define UNFREED_LIBDW_FUNCTION(name) decltype(&::name) name = nullptr;
#include "symbolize/libdw_functions.inc"
#undef UNFREED_LIBDW_FUNCTION

  /// The library, loaded on the first call and kept; nullptr if it is not available, and `reason` (may be nullptr) says
  /// why. Not thread-safe. Removes DEBUGINFOD_URLS from this process's environment: a report must never wait for a
  /// server.
  static const Libdw* get(std::string* reason = nullptr);
};

/// Is it a part of the program?
extern const bool kIsLibdwLinked;

/// Is it code of libdw, or of libelf beneath it?
bool is_in_libdw(const void* code);

}  // namespace unfreed::symbolize
