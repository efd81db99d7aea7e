// Where loaded objects' thread-local variables and threads' values of pthread keys lie, by what glibc keeps of both.
// Each fact is checked against another; what does not fit is not named. Async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "grade/memory_map.h"
#include "unwind/objects.h"

namespace unfreed::grade {

/// Of an object with thread-local variables.
struct ThreadLocals {
  size_t number;    ///< of the object among those that have some, from 1 on
  intptr_t offset;  ///< from each thread's pointer, as arch::thread_local_place() has it; 0: each has a block for them
  size_t bytes;
};
/// False: it has none, or the loader's record of it is not understood.
bool find_thread_locals(const MemoryMap& map, const unwind::Object& object, ThreadLocals& out);

/// A thread's variables of such an object, where each thread has a block for them; 0: it has not used them yet, or it
/// is not known. `thread`: its pthread_t, of a thread that is there.
uintptr_t thread_local_block(const MemoryMap& map, uintptr_t thread, const ThreadLocals& of);

/// Values of keys lie in groups. Calls `visit(group, place)` for each group that the thread has values in; the first
/// one is part of what `thread` leads to.
inline constexpr size_t kKeysOfGroup = 32, kKeyBytes = 16, kKeyGroupBytes = kKeysOfGroup * kKeyBytes;
void each_key_group(const MemoryMap& map, uintptr_t thread, void* context,
                    void (*visit)(void* context, size_t group, uintptr_t place));
template <class Visit>
void each_key_group(const MemoryMap& map, uintptr_t thread, Visit visit) {
  each_key_group(map, thread, &visit,
                 [](void* context, size_t group, uintptr_t place) { (*static_cast<Visit*>(context))(group, place); });
}

/// What identifies a variable in a block of its own (Root::place): which object's, and how far into the block. Of other
/// thread-local variables it is the distance from the thread pointer.
inline constexpr unsigned kBlockBits = 40;
inline constexpr uintptr_t block_place(size_t number) { return uintptr_t{number} << kBlockBits; }

}  // namespace unfreed::grade
