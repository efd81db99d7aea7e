// Decides how the runtime gets into a program: the value of LD_PRELOAD for it. A library that a program cannot load is
// left out of the list (musl would end with 127, gcc's AddressSanitizer refuse to start, a 32-bit loader complain on
// stderr); other entries are kept.
//
// Used by the hooks of exec and spawn for the environment that is passed on, and by `unfreed run` for its own command.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/text.h"
#include "elf/obstacle.h"
#include "elf/program.h"

namespace unfreed::elf {

enum class Remedy : uint8_t {
  keep,             ///< the value is right, or does no harm
  leave_out,        ///< the program would not start, or would complain
  hide,             ///< as leave_out, but by a name that loads nothing or the library for musl, if there is one
  sanitizer_first,  ///< put the program's own sanitizer library before it
};

/// The result of examining a file to be executed. A file that cannot be read is left alone.
struct Verdict {
  Obstacle obstacle = Obstacle::none;
  Remedy remedy = Remedy::keep;
  Obstacle privilege = Obstacle::none;  ///< of a program of musl: what hinders the library for those (accept_musl)
  bool is_loader = false;               ///< the dynamic loader, which is given a program to run
  char sanitizer_library[sizeof Program::sanitizer_library] = "";
};
/// Follows "#!" lines. `path` is relative to the open `directory`. `is_there`: the file exists.
Verdict judge(const char* path, long directory, bool& is_there);

/// Calls `visit(entry)` for each entry of an LD_PRELOAD, until it returns true, which is then returned.
template <class Visit>
bool any_preload_entry(std::string_view preload, Visit visit) {
  while (!preload.empty()) {
    size_t end = preload.find_first_of(" :");
    std::string_view entry = base::slice(preload, 0, end);
    preload = end == preload.npos ? std::string_view() : base::slice(preload, end + 1);
    if (!entry.empty() && visit(entry)) return true;
  }
  return false;
}

/// How the runtime is named in LD_PRELOAD.
struct PreloadNames {
  std::string_view entry;    ///< as it is in the list; "": the library was loaded by other means
  std::string_view for_any;  ///< "…/$LIB/libunfreed.so": each loader finds the library for its libc, or none; or ""
};

/// Of a program of musl: is there a library for those by this name of the runtime, "…/$LIB/libunfreed.so"? musl's
/// loader takes "$LIB" for a folder's name, where glibc's puts another in its place. Then musl is no obstacle.
void accept_musl(std::string_view name, Verdict& verdict);

/// The entry of this LD_PRELOAD that names the runtime, whose file is called `file`; "" for none.
std::string_view find_entry(std::string_view preload, std::string_view file);

/// Is the runtime one of the entries of this LD_PRELOAD?
bool names_runtime(std::string_view preload, const PreloadNames& names);

/// Writes the value of LD_PRELOAD that a program of this verdict needs, if it differs. False: leave it as it
/// is. An empty text: the variable must be unset. A verdict that cannot be carried out is changed: see obstacle.
bool edit_preload(std::string_view preload, const PreloadNames& names, Verdict& verdict, base::TextBuilder& out);

/// Between the sanitizer's library and the previous value of LD_PRELOAD. The loader skips empty entries;
/// the runtime removes all of it again before the program sees it.
inline constexpr std::string_view kSanitizerMark = ":::";

}  // namespace unfreed::elf
