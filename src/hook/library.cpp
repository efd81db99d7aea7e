// Libraries that are opened at run time: each dlopen is one handle, each dlclose gives one back. (dlclose is in
// process.cpp.)
//
// The loader looks at who calls dlopen: a name without '/' is searched for along that object's RUNPATH or RPATH, and
// $ORIGIN stands for that object's folder. Where this could matter the call is passed on by a jump, so that the loader
// sees the real caller; its handle is then not counted, and the report says so.
#include <dlfcn.h>
#include <link.h>

#include <cerrno>

#include <string_view>

#include "base/syscall.h"
#include "hook/real.h"
#include "hook/redirect.h"
#include "track/blind_spots.h"
#include "track/handles.h"
#include "track/tracker.h"
#include "unwind/objects.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

namespace {

bool has_search_path(const void* caller) {
  unwind::Object object;
  if (!unwind::find_object(reinterpret_cast<uintptr_t>(caller), object)) return true;  // not known: be careful
  if (!*object.name) return false;  // the executable's own paths hold for every call
  for (const ElfW(Dyn)* entry = unwind::dynamic_section(object); entry && entry->d_tag != DT_NULL; ++entry)
    if (entry->d_tag == DT_RUNPATH || entry->d_tag == DT_RPATH) return true;
  return false;
}

/// May the call come from here instead of from `caller`?
bool may_call_for(const char* file, const void* caller) {
  std::string_view name(file);
  if (name.find('$') != name.npos) return false;
  return name.find('/') != name.npos || !has_search_path(caller);
}

void opened(void* handle, const char* file, Hook function, const unwind::Registers& from) {
  if (!handle) return;
  track::note_go_objects();
  track::note_late_parts_of_libc();
  track::handle_acquired({ledger::Kind::library, reinterpret_cast<uint64_t>(handle), 0, file}, hook_number(function),
                         from);
}

/// Reported once: from then on coverage of this kind is partial.
void note_uncounted() {
  static constinit std::atomic<bool> noted{false};
  if (!track::enter(ledger::Kind::library) || noted.exchange(true, std::memory_order_relaxed)) return;
  track::cover_partly(ledger::Kind::library, "a library with a search path of its own (RUNPATH) opened others by name");
}

bool is_tracked() {
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
    if (track::tracks(static_cast<ledger::Kind>(kind))) return track::enter(static_cast<ledger::Kind>(kind));
  return false;
}

/// Whether or not libraries are counted. Before the call, which may have to be left by a jump; one that is not there is
/// not opened.
void note_bypassing(const char* file, int mode, Lmid_t space) {
  bool is_apart = space != LM_ID_BASE;
  if (!file || mode & RTLD_NOLOAD || !(is_apart || mode & RTLD_DEEPBIND) || !is_tracked()) return;
  bool is_path = std::string_view(file).find('/') != std::string_view::npos;
  if (is_path && base::raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(file), 0) == -ENOENT) return;
  track::note_bypassing_library(file, is_apart);
}

/// The user may want the hooks to be seen by all libraries.
int mode_as_wanted(int mode) { return track::is_without_deepbind() && is_tracked() ? mode & ~RTLD_DEEPBIND : mode; }

}  // namespace

UNFREED_HOOK void* dlopen(const char* file, int mode) noexcept {
  mode = mode_as_wanted(mode);
  note_bypassing(file, mode, LM_ID_BASE);
  // Without a name it is the program itself, which is never unloaded.
  if (!file || !(track::tracks(ledger::Kind::library) || hook::is_loaded_late())) return g_real.dlopen(file, mode);
  if (!may_call_for(file, __builtin_return_address(0))) {
    note_uncounted();
    return g_real.dlopen(file, mode);  // a jump: the optimizer leaves nothing to do after it
  }
  void* handle = g_real.dlopen(file, mode);
  hook::redirect_loaded(handle);
  opened(handle, file, Hook::dlopen, caller_registers());
  return handle;
}

UNFREED_HOOK void* dlmopen(Lmid_t space, const char* file, int mode) noexcept {
  note_bypassing(file, mode, space);
  if (!file || !track::tracks(ledger::Kind::library)) return g_real.dlmopen(space, file, mode);
  if (!may_call_for(file, __builtin_return_address(0))) {
    note_uncounted();
    return g_real.dlmopen(space, file, mode);
  }
  void* handle = g_real.dlmopen(space, file, mode);
  opened(handle, file, Hook::dlmopen, caller_registers());
  return handle;
}
