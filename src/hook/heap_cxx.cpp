// operator new and delete, all forms, under their linkage names.
//
// Where they are libstdc++'s, new is malloc and delete is free: calling those directly spares a nested hook and keeps
// one record per block. Only when memory runs out does libstdc++'s own function take over: it knows the new-handler,
// and throws. Calls for which an allocator library has its own form go to that form; it may leave others to libstdc++
// (jemalloc leaves the aligned ones). If the program has replaced any form, ours only pass calls on: libstdc++'s
// defaults must reach the program's functions, which call malloc.
//
// No guard object may live across a call that can throw: these functions have no unwinding of their own.
#include "hook/heap.h"
#include "hook/real.h"
#include "track/heap.h"

using namespace unfreed;
using hook::CxxHeap;
using hook::g_cxx_heap;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::hook_frame;

namespace {

CxxHeap heap_behind(Hook form) {
  if (g_cxx_heap == CxxHeap::over_malloc) [[likely]]
    return CxxHeap::over_malloc;
  return g_cxx_heap == CxxHeap::mixed ? hook::cxx_heap_of(form) : g_cxx_heap;
}

template <class Plain, class RealForm>
[[gnu::always_inline]] inline void* allocate(size_t bytes, Hook hook, unwind::HookFrame from, Plain plain,
                                             RealForm real_form) {
  CxxHeap heap = heap_behind(hook);
  if (heap == CxxHeap::over_malloc) [[likely]] {
    bool passed_over = track::heap_passes_over(bytes);
    void* block = plain();
    if (!block) [[unlikely]]
      return real_form();  // tracks itself, through malloc
    if (!passed_over) [[likely]]
      track::heap_acquired(block, bytes, hook_number(hook), from);
    return block;
  }
  void* block = real_form();
  if (heap == CxxHeap::own) track::heap_acquired(block, bytes, hook_number(hook), from);
  return block;
}

/// Out of line, with a closure that holds what it needs by value: the hooks themselves then need no registers saved.
template <class RealForm>
[[gnu::noinline]] void release_in_form(void* block, Hook hook, RealForm real_form) {
  CxxHeap heap = heap_behind(hook);
  if (heap == CxxHeap::passing) return real_form();
  if (heap == CxxHeap::over_malloc) return hook::release(block);
  track::heap_released(block);
  track::HeapGuard guard;  // it may come by free, which then finds the block gone already. Deletes do not throw
  real_form();
}

template <class RealForm>
[[gnu::always_inline]] inline void release(void* block, Hook hook, RealForm real_form) {
  if (g_cxx_heap != CxxHeap::over_malloc) [[unlikely]]
    return release_in_form(block, hook, real_form);
  hook::release(block);
}

/// Stands for std::nothrow, which is an object of libstdc++'s: nobody looks at it.
const NothrowTag& nothrow() {
  static constexpr char kNothing = 0;
  return reinterpret_cast<const NothrowTag&>(kNothing);
}

/// jemalloc's aligned forms come by the public aligned_alloc, whose hook would count the block a second time. The form
/// that does not throw is the one that can be guarded; where it finds nothing, the other one says so its own way.
template <class Quiet>
void* guarded(Hook form, Quiet quiet) {
  if (heap_behind(form) != CxxHeap::own) return quiet();
  track::HeapGuard guard;
  return quiet();
}
template <class Quiet, class Throwing>
void* guarded_first(Hook form, Quiet quiet, Throwing throwing) {
  void* block = heap_behind(form) == CxxHeap::own ? guarded(form, quiet) : nullptr;
  return block ? block : throwing();
}

/// libstdc++ asks for at least a byte, and for a size that is a multiple of the alignment.
void* plain_block(size_t bytes) { return g_real.malloc(bytes ? bytes : 1); }
void* aligned_block(size_t bytes, size_t alignment) {
  if (!alignment || alignment & (alignment - 1)) return nullptr;
  size_t padded = ((bytes ? bytes : 1) + alignment - 1) & ~(alignment - 1);
  return padded < bytes ? nullptr : g_real.aligned_alloc(alignment, padded);
}

}  // namespace

#define BOTH_ALLOCATE(plain, real_form) [&] { return plain; }, [&] { return real_form; }

UNFREED_HOOK void* _Znwm(size_t bytes) {
  return allocate(bytes, Hook::_Znwm, hook_frame(), BOTH_ALLOCATE(plain_block(bytes), g_real._Znwm(bytes)));
}
UNFREED_HOOK void* _ZnwmRKSt9nothrow_t(size_t bytes, const NothrowTag& tag) {
  return allocate(bytes, Hook::_ZnwmRKSt9nothrow_t, hook_frame(),
                  BOTH_ALLOCATE(plain_block(bytes), g_real._ZnwmRKSt9nothrow_t(bytes, tag)));
}
UNFREED_HOOK void* _ZnwmSt11align_val_t(size_t bytes, size_t alignment) {
  return allocate(
      bytes, Hook::_ZnwmSt11align_val_t, hook_frame(),
      BOTH_ALLOCATE(aligned_block(bytes, alignment),
                    guarded_first(
                        Hook::_ZnwmSt11align_val_tRKSt9nothrow_t,
                        [&] { return g_real._ZnwmSt11align_val_tRKSt9nothrow_t(bytes, alignment, nothrow()); },
                        [&] { return g_real._ZnwmSt11align_val_t(bytes, alignment); })));
}
UNFREED_HOOK void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const NothrowTag& tag) {
  return allocate(bytes, Hook::_ZnwmSt11align_val_tRKSt9nothrow_t, hook_frame(),
                  BOTH_ALLOCATE(aligned_block(bytes, alignment), guarded(Hook::_ZnwmSt11align_val_tRKSt9nothrow_t, [&] {
                                  return g_real._ZnwmSt11align_val_tRKSt9nothrow_t(bytes, alignment, tag);
                                })));
}
UNFREED_HOOK void* _Znam(size_t bytes) {
  return allocate(bytes, Hook::_Znam, hook_frame(), BOTH_ALLOCATE(plain_block(bytes), g_real._Znam(bytes)));
}
UNFREED_HOOK void* _ZnamRKSt9nothrow_t(size_t bytes, const NothrowTag& tag) {
  return allocate(bytes, Hook::_ZnamRKSt9nothrow_t, hook_frame(),
                  BOTH_ALLOCATE(plain_block(bytes), g_real._ZnamRKSt9nothrow_t(bytes, tag)));
}
UNFREED_HOOK void* _ZnamSt11align_val_t(size_t bytes, size_t alignment) {
  return allocate(
      bytes, Hook::_ZnamSt11align_val_t, hook_frame(),
      BOTH_ALLOCATE(aligned_block(bytes, alignment),
                    guarded_first(
                        Hook::_ZnamSt11align_val_tRKSt9nothrow_t,
                        [&] { return g_real._ZnamSt11align_val_tRKSt9nothrow_t(bytes, alignment, nothrow()); },
                        [&] { return g_real._ZnamSt11align_val_t(bytes, alignment); })));
}
UNFREED_HOOK void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const NothrowTag& tag) {
  return allocate(bytes, Hook::_ZnamSt11align_val_tRKSt9nothrow_t, hook_frame(),
                  BOTH_ALLOCATE(aligned_block(bytes, alignment), guarded(Hook::_ZnamSt11align_val_tRKSt9nothrow_t, [&] {
                                  return g_real._ZnamSt11align_val_tRKSt9nothrow_t(bytes, alignment, tag);
                                })));
}
#undef BOTH_ALLOCATE

UNFREED_HOOK void _ZdlPv(void* block) {
  release(block, Hook::_ZdlPv, [=] { g_real._ZdlPv(block); });
}
UNFREED_HOOK void _ZdlPvm(void* block, size_t bytes) {
  release(block, Hook::_ZdlPvm, [=] { g_real._ZdlPvm(block, bytes); });
}
UNFREED_HOOK void _ZdlPvRKSt9nothrow_t(void* block, const NothrowTag& tag) {
  release(block, Hook::_ZdlPvRKSt9nothrow_t, [=, &tag] { g_real._ZdlPvRKSt9nothrow_t(block, tag); });
}
UNFREED_HOOK void _ZdlPvSt11align_val_t(void* block, size_t alignment) {
  release(block, Hook::_ZdlPvSt11align_val_t, [=] { g_real._ZdlPvSt11align_val_t(block, alignment); });
}
UNFREED_HOOK void _ZdlPvmSt11align_val_t(void* block, size_t bytes, size_t alignment) {
  release(block, Hook::_ZdlPvmSt11align_val_t, [=] { g_real._ZdlPvmSt11align_val_t(block, bytes, alignment); });
}
UNFREED_HOOK void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* block, size_t alignment, const NothrowTag& tag) {
  release(block, Hook::_ZdlPvSt11align_val_tRKSt9nothrow_t,
          [=, &tag] { g_real._ZdlPvSt11align_val_tRKSt9nothrow_t(block, alignment, tag); });
}
UNFREED_HOOK void _ZdaPv(void* block) {
  release(block, Hook::_ZdaPv, [=] { g_real._ZdaPv(block); });
}
UNFREED_HOOK void _ZdaPvm(void* block, size_t bytes) {
  release(block, Hook::_ZdaPvm, [=] { g_real._ZdaPvm(block, bytes); });
}
UNFREED_HOOK void _ZdaPvRKSt9nothrow_t(void* block, const NothrowTag& tag) {
  release(block, Hook::_ZdaPvRKSt9nothrow_t, [=, &tag] { g_real._ZdaPvRKSt9nothrow_t(block, tag); });
}
UNFREED_HOOK void _ZdaPvSt11align_val_t(void* block, size_t alignment) {
  release(block, Hook::_ZdaPvSt11align_val_t, [=] { g_real._ZdaPvSt11align_val_t(block, alignment); });
}
UNFREED_HOOK void _ZdaPvmSt11align_val_t(void* block, size_t bytes, size_t alignment) {
  release(block, Hook::_ZdaPvmSt11align_val_t, [=] { g_real._ZdaPvmSt11align_val_t(block, bytes, alignment); });
}
UNFREED_HOOK void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* block, size_t alignment, const NothrowTag& tag) {
  release(block, Hook::_ZdaPvSt11align_val_tRKSt9nothrow_t,
          [=, &tag] { g_real._ZdaPvSt11align_val_tRKSt9nothrow_t(block, alignment, tag); });
}
