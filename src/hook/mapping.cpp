// Mappings: mmap, mremap, munmap. (What shmat attaches is of the kind shm.)
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "base/text.h"
#include "hook/mapping.h"
#include "hook/real.h"
#include "track/kept_memory.h"
#include "track/tracker.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using ledger::Kind;
using unwind::caller_registers;

namespace {

uint64_t page_bytes(int flags) {
  if (!(flags & MAP_HUGETLB)) return getauxval(AT_PAGESZ);
  int power = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
  return uint64_t{1} << (power ? power : 21);
}

/// As the kernel takes it: whole pages.
track::Range range_of(const void* start, size_t bytes, uint64_t page) {
  auto address = reinterpret_cast<uint64_t>(start);
  return {address, address + (bytes + page - 1) / page * page};
}

/// "rw- private /usr/lib/locale/locale-archive", "r-- shared anonymous".
void describe(base::TextBuilder& out, int protection, int flags, int fd) {
  out.add(protection & PROT_READ ? 'r' : '-').add(protection & PROT_WRITE ? 'w' : '-');
  out.add(protection & PROT_EXEC ? 'x' : '-').add((flags & MAP_TYPE) == MAP_PRIVATE ? " private " : " shared ");
  if (flags & MAP_ANONYMOUS) {
    out.add(flags & MAP_STACK ? "stack" : "anonymous");
    return;
  }
  base::FixedText<32> link;
  link.add("/proc/self/fd/").add_signed(fd);
  char path[256];
  long size = base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(link.c_str()),
                                reinterpret_cast<long>(path), sizeof path);
  if (size > 0)
    out.add({path, static_cast<size_t>(size)});
  else
    out.add("descriptor ").add_signed(fd);
}

/// [start, start + bytes) cannot be unmapped: the kernel refuses it before it does anything.
bool is_refused(const void* start, size_t bytes) {
  return bytes == 0 || reinterpret_cast<uint64_t>(start) % getauxval(AT_PAGESZ) != 0;
}

}  // namespace

namespace unfreed::hook {

void mapped(const void* result, const Mmap& call, Hook function, const unwind::Registers& from) {
  base::KeepErrno keep;
  base::FixedText<88> target;
  describe(target, call.protection, call.flags, call.fd);
  track::mapping_made(range_of(result, call.bytes, page_bytes(call.flags)), target.text(), hook_number(function), from);
}

bool Unmapping::begin(const void* start, size_t bytes) {
  if (!track::tracks(Kind::mapping) || is_refused(start, bytes)) return false;
  range_ = range_of(start, bytes, getauxval(AT_PAGESZ));
  taken_ = track::take_mappings(range_);
  return taken_.first;
}

void Unmapping::end(bool succeeded) {
  base::KeepErrno keep;
  if (succeeded)
    track::mappings_gone(taken_);
  else
    track::mappings_stay(taken_);
}

bool Remapping::begin(const void* start, size_t old_bytes, int flags) {
  if (!track::tracks(Kind::mapping)) return false;
  is_copy_ = old_bytes == 0 || flags & MREMAP_DONTUNMAP;
  if (is_copy_ || is_refused(start, old_bytes)) return is_copy_;
  range_ = range_of(start, old_bytes, getauxval(AT_PAGESZ));
  taken_ = track::take_mappings(range_);
  return taken_.first;
}

void Remapping::end(const void* result, size_t new_bytes, Hook function, const unwind::Registers& from) {
  base::KeepErrno keep;
  if (result == MAP_FAILED) {
    if (is_copy_)
      track::mapping_not_made(hook_number(function), from);
    else
      track::mappings_stay(taken_);
    return;
  }
  track::Range to = range_of(result, new_bytes, getauxval(AT_PAGESZ));
  if (is_copy_)
    track::mapping_made(to, "remapped", hook_number(function), from);
  else
    track::mappings_moved(taken_, range_, to);
}

}  // namespace unfreed::hook

UNFREED_HOOK void* mmap(void* wanted, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  void* result = g_real.mmap(wanted, bytes, protection, flags, fd, offset);
  return hook::mapping(result, {bytes, protection, flags, fd}, Hook::mmap, caller_registers());
}

UNFREED_HOOK void* mmap64(void* wanted, size_t bytes, int protection, int flags, int fd, off64_t offset) noexcept {
  void* result = g_real.mmap64(wanted, bytes, protection, flags, fd, offset);
  return hook::mapping(result, {bytes, protection, flags, fd}, Hook::mmap64, caller_registers());
}

UNFREED_HOOK int munmap(void* start, size_t bytes) noexcept {
  return hook::unmapping(start, bytes, [&] { return g_real.munmap(start, bytes); });
}

UNFREED_HOOK void* mremap(void* start, size_t old_bytes, size_t new_bytes, int flags, ...) noexcept {
  // libc passes on whatever stands in the argument's place.
  va_list list;
  va_start(list, flags);
  void* wanted = va_arg(list, void*);
  va_end(list);
  return hook::remapping({start, old_bytes, new_bytes, flags}, Hook::mremap, caller_registers(),
                         [&] { return g_real.mremap(start, old_bytes, new_bytes, flags, wanted); });
}

UNFREED_HOOK int madvise(void* start, size_t bytes, int advice) noexcept {
  if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK) track::note_kept_from_children();
  return g_real.madvise(start, bytes, advice);
}
