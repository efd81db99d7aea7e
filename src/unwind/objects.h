// Finds loaded objects for the unwinder without the dynamic loader's lock: a hook may run while another
// thread holds that lock and waits for the allocator (dl_iterate_phdr here deadlocks; heaptrack, memray, tcmalloc all
// met it).
#pragma once

#include <link.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "unwind/eh_frame.h"

namespace unfreed::unwind {

struct Object {
  Image image;                 ///< mapped range; of another process's object: of the copy of it
  uintptr_t bias = 0;          ///< load bias (link_map::l_addr)
  uintptr_t eh_frame_hdr = 0;  ///< 0: no unwind information
  const char* name = "";       ///< the loader's name: "" is the executable; valid while the object is loaded
  intptr_t shift = 0;          ///< what to add to an address to find it in the image: not 0 for a copy
  const void* map = nullptr;   ///< the loader's record, if it was asked
};

/// Resolves `_dl_find_object` (glibc 2.35 on). Called once, before any walk. `use_loader` false: act as if it did not
/// exist.
void prepare_objects(bool use_loader = true);

/// For walks through another process's stacks: finds its objects instead of this process's loader; null: the
/// loader. One thread only.
using ObjectFinder = bool (*)(uintptr_t pc, Object& out);
void set_object_finder(ObjectFinder finder);

/// The object that `pc` lies in, which must be on some live stack (so that it cannot be unloaded meanwhile).
/// Lock-free, async-signal-safe. `out` may hold what an earlier call found, if nothing has been unloaded since: an
/// object that is found again is not described again.
bool find_object(uintptr_t pc, Object& out);

/// An object from the loader's record of it, which is all that exists while the loader is still working. `start`: the
/// start of its memory, if known; else 0. False if its program headers cannot be found.
bool describe_object(const link_map& map, uintptr_t start, Object& out);

/// Whole pages of a loaded object, as the loader has left them (PROT_READ …).
struct Segment {
  uintptr_t low = 0;
  uintptr_t high = 0;
  int protection = 0;
};
/// The segment that contains `address`. Memory that becomes read-only after relocation (RELRO) is its own segment.
bool find_segment(const Object& object, uintptr_t address, Segment& out);

/// Calls `visit(object)` for each object in the loader's own list, until it returns true, which is then returned. The
/// list is read without the loader's lock, while it is marked as consistent.
bool any_object(bool (*visit)(void* context, const Object& object), void* context);
template <class Visit>
bool any_object(Visit visit) {
  return any_object([](void* context, const Object& object) { return (*static_cast<Visit*>(context))(object); },
                    &visit);
}

/// For code without unwind information: is it where a process begins (the loader's start, the executable's entry)?
bool is_outermost(uintptr_t pc, const Object& object);

/// Can these bytes be read: do they lie in one of a loaded object's readable segments, not in a gap between them?
bool is_readable(const Object& object, uintptr_t address, size_t bytes);

/// How much memory each thread has for the thread-local variables of a loaded object, alignment included; 0: none.
size_t thread_local_bytes(const Object& object);

/// The program header of a loaded object's thread-local variables. False: it has none.
bool thread_local_segment(const Object& object, ElfW(Phdr) & out);

/// A loaded object's dynamic section; nullptr if it has none.
const ElfW(Dyn) * dynamic_section(const Object& object);

/// The value of a note of a loaded object, read from its mapped headers; empty if there is none.
std::span<const uint8_t> find_note(const Object& object, std::string_view owner, uint32_t type);
/// Is it a Go program or library, whose runtime makes system calls without libc?
bool is_go(const Object& object);

/// The build ID note of a loaded object, read from its mapped headers: the number of bytes copied, 0 if none.
size_t read_build_id(const Object& object, uint8_t* out, size_t capacity);

}  // namespace unfreed::unwind
