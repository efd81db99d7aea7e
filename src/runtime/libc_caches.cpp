#include "runtime/libc_caches.h"

#include <gnu/libc-version.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <span>

#include "base/lock.h"
#include "base/syscall.h"
#include "hook/heap.h"
#include "ledger/view.h"
#include "runtime/child_process.h"
#include "runtime/report_now.h"
#include "track/libc_caches.h"
#include "track/own_child.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/dynamic_symbols.h"
#include "unwind/objects.h"

/// All open streams. __libc_freeres would flush them.
extern "C" [[gnu::weak]] void* _IO_list_all;

namespace unfreed::runtime {

using base::raw_syscall;
using track::g_tracker;

namespace {

constexpr int kPatienceMs = 2000;
constexpr size_t kMostBlocks = 64 * 1024;

using FreeAll = void (*)();

/// nullptr: this libc has no such function.
FreeAll find_free_all() {
  unwind::Object libc;
  if (!unwind::find_object(reinterpret_cast<uintptr_t>(&gnu_get_libc_version), libc)) return nullptr;
  auto* symbol = unwind::DynamicSymbols(libc).find("__libc_freeres");
  if (!symbol || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF) return nullptr;
  return reinterpret_cast<FreeAll>(libc.bias + symbol->st_value);
}

/// Memory that a copy of this process writes to.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) : bytes_(bytes) {
    long start =
        raw_syscall(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!base::is_error(start)) start_ = reinterpret_cast<void*>(start);
  }
  ~SharedMemory() {
    if (start_) base::unmap_memory(start_, bytes_);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  explicit operator bool() const { return start_; }
  template <class T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(start_) + offset);
  }

 private:
  size_t bytes_;
  void* start_ = nullptr;
};

struct Work {
  FreeAll free_all;
  hook::FreedBlocks* freed;
};

/// The copy must not be noticed: it has no descriptors, leaves no core, and flushes no stream.
int free_all(void* context) {
  const Work& work = *static_cast<Work*>(context);
  for (long fd = 0; fd < 3; ++fd) base::close_file(fd);
  raw_syscall(SYS_prctl, PR_SET_DUMPABLE, 0);
  if (&_IO_list_all) _IO_list_all = nullptr;
  g_tracker.phase.store(track::Phase::finished, std::memory_order_relaxed);
  hook::g_only_noted = work.freed;
  work.free_all();
  return 0;
}

}  // namespace

void find_libc_caches() {
  if (!track::is_any_site_within_libc()) return;
  FreeAll function = find_free_all();
  if (!function) return;
  ledger::View view = own_view();
  size_t sites = view.site_count();
  constexpr size_t kCountsAt = 64, kBlockBytes = kMostBlocks * sizeof(uintptr_t);
  static_assert(sizeof(hook::FreedBlocks) <= kCountsAt);
  SharedMemory memory(kCountsAt + kBlockBytes + sites * sizeof(ledger::Counts));
  if (!memory) return;
  std::span counts(memory.at<ledger::Counts>(kCountsAt + kBlockBytes), sites);
  view.sum_counts(counts);
  if (!track::has_undecided_blocks(counts)) return;

  auto* freed = memory.at<hook::FreedBlocks>(0);
  freed->blocks = memory.at<std::atomic<uintptr_t>>(kCountsAt);
  freed->capacity = kMostBlocks;
  Work work{function, freed};
  // A handler that ends the process would take this copy for one that makes a report.
  base::SignalBlock block;
  track::own_child_begins();
  long pid = start_copy(
      &work, -1, [](void*) {}, free_all);
  if (base::is_error(pid)) return;
  wait_for_copy(kPatienceMs, false);  // what it has noted before it was killed, if it was, is true as well
  size_t count = std::min(freed->count.load(std::memory_order_relaxed), kMostBlocks);
  track::give_to_libc({memory.at<const uintptr_t>(kCountsAt), count}, counts);
}

}  // namespace unfreed::runtime
