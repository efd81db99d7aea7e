#include "track/exec_leaks.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::ExecLeak;
using ledger::FdOrigin;
using ledger::FdRecord;
using ledger::SectionId;

namespace {

struct NumberRange {
  int first, last;
};
constexpr size_t kMostAllowed = 32;
NumberRange g_allowed[kMostAllowed];
size_t g_allowed_count;

/// The parent's ledger, of which only the header and the sections that follow it are mapped: exec leaks, and programs
/// that were not tracked.
struct ParentTable {
  ledger::Header* header;
  ExecLeak* records;
  ledger::Untracked* untracked;
};
ParentTable g_parent;

bool is_allowed(int fd) {
  if (fd <= 2) return true;
  for (size_t i = 0; i < g_allowed_count; ++i)
    if (fd >= g_allowed[i].first && fd <= g_allowed[i].last) return true;
  return false;
}

bool stays_open(int fd) {
  long flags = base::raw_syscall(SYS_fcntl, fd, F_GETFD);
  return flags >= 0 && !(flags & FD_CLOEXEC);
}

/// The pointer is the program's, and the kernel has not checked it yet: what cannot be read is left out.
void copy_name(const char* from, char (&to)[sizeof ExecLeak::program]) {
  std::memset(to, 0, sizeof to);
  auto address = reinterpret_cast<uintptr_t>(from);
  // Page by page: an unreadable page must not make the copy of the page before it fail.
  size_t wanted = sizeof to - 1, on_page = std::min<size_t>(wanted, 4096 - address % 4096);
  base::copy_memory(0, address, to, on_page);
  if (on_page < wanted) base::copy_memory(0, address + on_page, to + on_page, wanted - on_page);
  to[wanted] = '\0';
}

void read_target(int fd, char (&to)[sizeof ExecLeak::target]) {
  base::FixedText<32> link;
  link.add("/proc/self/fd/").add_signed(fd);
  long size = base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(link.c_str()),
                                reinterpret_cast<long>(to), static_cast<long>(sizeof to - 1));
  to[base::is_error(size) ? 0 : size] = '\0';
}

/// Makes the first `count` records of a table of the parent's safe to touch, used or not.
template <class Record>
bool back_parents(Record* records, uint64_t count) {
  constexpr size_t kPage = ledger::kPageBytes;
  size_t bytes = (count * sizeof(Record) + kPage - 1) / kPage * kPage;
  return ledger::back_shared_memory(reinterpret_cast<std::byte*>(records), bytes);
}

/// The caller may be a different process from the ledger's owner. Only atomics synchronize the two; duplicate records
/// of one exec leak are harmless.
ExecLeak* note(const FdRecord& from, uint64_t word, int fd, uint16_t hook, const char* program) {
  bool in_parent = ledger::fd_origin(word) == FdOrigin::inherited;
  ledger::Header& header = in_parent ? *g_parent.header : g_tracker.writer.header();
  ledger::Section& table = header.sections[static_cast<size_t>(SectionId::exec_leaks)];
  auto record_at = [&](uint64_t index) {
    return in_parent ? g_parent.records + index : g_tracker.writer.touch<ExecLeak>(SectionId::exec_leaks, index);
  };
  uint32_t site = ledger::fd_site(word);
  uint64_t used = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  if (in_parent && !back_parents(g_parent.records, std::min(used + 1, table.capacity))) {
    header.dropped[static_cast<size_t>(ledger::Dropped::storage_full)].fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  for (uint64_t i = 0; i < used; ++i) {
    ExecLeak* known = record_at(i);
    if (known && known->state.load(std::memory_order_acquire) == ledger::kExecLeakValid && known->site == site) {
      known->count.fetch_add(1, std::memory_order_relaxed);
      return known;
    }
  }
  uint64_t index = table.count.fetch_add(1, std::memory_order_acq_rel);
  ExecLeak* record = index < table.capacity ? record_at(index) : nullptr;
  if (!record) {
    header.dropped[static_cast<size_t>(ledger::Dropped::exec_leaks_full)].fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  record->state.store(ledger::kExecLeakFilling, std::memory_order_relaxed);
  record->fd = fd;
  record->site = site;
  record->serial = ledger::fd_serial(word);
  record->caller_pid = base::current_pid();
  record->hook = hook;
  record->acquired_ns = from.acquired_ns;
  copy_name(program, record->program);
  read_target(fd, record->target);
  record->count.store(1, std::memory_order_relaxed);
  record->state.store(ledger::kExecLeakValid, std::memory_order_release);
  return record;
}

/// Did this process, or the one it was forked from, acquire the descriptor itself?
bool is_of_interest(uint64_t word, bool adopted) {
  if (!ledger::fd_site(word)) return false;
  // A parent's table counts only as it was at the fork: the child has a copy of the parent's counter.
  uint32_t now = g_tracker.serial.load(std::memory_order_relaxed);
  if (!adopted && static_cast<int32_t>(ledger::fd_serial(word) - now) > 0) return false;
  switch (ledger::fd_origin(word)) {
    case FdOrigin::acquired:
    case FdOrigin::received:
      return true;
    case FdOrigin::inherited:
      return g_parent.records;
    default:
      return false;
  }
}

}  // namespace

void note_exec_leaks(uint16_t hook, const char* program, ExecLeaks& noted, const ChildFds& child) {
  // Not enter(): a child that has tracked nothing needs no ledger of its own to execute another program.
  if (!tracks(ledger::Kind::fd) || !base::may_call_system()) return;
  int saved = errno;
  bool adopted = g_fork_page.alive.load(std::memory_order_acquire);
  const ledger::Section& table = g_tracker.writer.section(SectionId::fds);
  uint64_t count = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  for (uint64_t fd = 0; fd < count; ++fd) {
    auto* record = g_tracker.writer.touch<FdRecord>(SectionId::fds, fd);
    uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
    auto number = static_cast<int>(fd);
    if (!word || !is_of_interest(word, adopted) || is_allowed(number) || child.is_replaced(number)) continue;
    bool is_earlier_popen = record->owner_kind == static_cast<uint32_t>(ledger::FdOwner::popen_stream);
    if ((child.closes_popen_streams && is_earlier_popen) || !stays_open(number)) continue;
    ExecLeak* exec_leak = note(*record, word, number, hook, program);
    if (exec_leak && noted.count < ExecLeaks::kMost) noted.exec_leaks[noted.count++] = exec_leak;
  }
  errno = saved;
}

ledger::Untracked* parents_untracked(ledger::Section*& table) {
  if (!g_parent.header) return nullptr;
  table = &g_parent.header->sections[static_cast<size_t>(SectionId::untracked)];
  uint64_t used = std::min(table->count.load(std::memory_order_acquire) + 1, table->capacity);
  return back_parents(g_parent.untracked, used) ? g_parent.untracked : nullptr;
}

void drop_in_parent(ledger::Dropped reason) {
  if (g_parent.header) g_parent.header->dropped[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
}

void take_exec_leaks_back(const ExecLeaks& noted) {
  for (size_t i = 0; i < noted.count; ++i) noted.exec_leaks[i]->count.fetch_sub(1, std::memory_order_relaxed);
}

void allow_exec_leak(int first, int last) {
  if (g_allowed_count < kMostAllowed) g_allowed[g_allowed_count++] = {first, last};
}

void forget_allowed_exec_leaks() { g_allowed_count = 0; }

void keep_parents_exec_leaks(const ledger::Writer& parent) {
  const ledger::Section& table = parent.section(SectionId::exec_leaks);
  const ledger::Section& untracked = parent.section(SectionId::untracked);
  size_t bytes = untracked.offset + untracked.capacity * sizeof(ledger::Untracked);  // and all before it
  ParentTable earlier = g_parent;
  g_parent = {};
  // Of a private ledger there is no mapping to share.
  if (parent.backing() != ledger::Backing::shared_file) {
    if (earlier.header) base::unmap_memory(earlier.header, bytes);
    return;
  }
  // Where a grandparent's was kept, if one was; else in memory that is reserved first.
  auto place = earlier.header ? reinterpret_cast<uintptr_t>(earlier.header) : base::own_addresses(bytes);
  if (!earlier.header && base::map_at(place, bytes, PROT_NONE, base::kPrivateMemory) != 0) return;
  // mremap(2): an old size of 0 makes a second mapping of the same shared pages.
  long again = base::raw_syscall(SYS_mremap, reinterpret_cast<long>(parent.base()), 0, static_cast<long>(bytes),
                                 MREMAP_MAYMOVE | MREMAP_FIXED, static_cast<long>(place));
  if (base::is_error(again)) return base::unmap_memory(reinterpret_cast<void*>(place), bytes);
  auto* start = reinterpret_cast<std::byte*>(place);
  g_parent = {reinterpret_cast<ledger::Header*>(start), reinterpret_cast<ExecLeak*>(start + table.offset),
              reinterpret_cast<ledger::Untracked*>(start + untracked.offset)};
}

}  // namespace unfreed::track
