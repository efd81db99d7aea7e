#include "runtime/ledger_memory.h"

#include <errno.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "base/address_space.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "ledger/ownership.h"
#include "ledger/room.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using ledger::Backing;
using ledger::Extents;
using ledger::Header;
using ledger::kPageBytes;
using ledger::SectionId;
using ledger::Writer;

namespace {

constinit Extents g_extents;
constinit ledger::Room g_room;

/// Sizes a ledger can have, in eighths: the full one, and one where address space or file size is limited.
constexpr unsigned kFull = 8, kSmall = 1;

constexpr int kShared = MAP_SHARED | MAP_NORESERVE;

// ---- which pages may be touched ----

/// The map of the ledger that will be made. A fork child still has its parent's as well.
std::atomic<uint8_t>* begin_populated(const Header& header) {
  static std::atomic<uint8_t>* maps[2];
  static size_t latest;
  auto*& map = maps[latest = 1 - latest];
  size_t pages = header.file_bytes / kPageBytes;
  if (!map) return map = base::own_array<std::atomic<uint8_t>>(pages);
  bool is_cleared =
      !is_error(raw_syscall(SYS_madvise, reinterpret_cast<long>(map), static_cast<long>(pages), MADV_DONTNEED));
  return is_cleared ? map : nullptr;
}

void mark(std::atomic<uint8_t>* populated, uint64_t offset, uint64_t bytes) {
  for (uint64_t page = offset / kPageBytes, end = (offset + bytes) / kPageBytes; page < end; ++page)
    populated[page].store(1, std::memory_order_relaxed);
}

/// What nearly every process uses. Where the file system has no room for it, private memory is better.
struct FirstPages {
  SectionId section;
  uint64_t pages;
};
constexpr FirstPages kFirstPages[] = {
    {SectionId::strings, 2},    {SectionId::modules, 1},      {SectionId::nodes, 1},  {SectionId::sites, 1},
    {SectionId::fds, 4},        {SectionId::threads, 1},      {SectionId::chunks, 1}, {SectionId::chunk_heads, 1},
    {SectionId::kernel_fds, 1}, {SectionId::kernel_tasks, 1},
};

constexpr uint64_t first_bytes() {
  uint64_t pages = 1;
  for (const FirstPages& first : kFirstPages) pages += first.pages;
  return pages * kPageBytes;
}

/// Calls `visit(offset, bytes)` for them and the header's; false as soon as `visit` is.
template <class Visit>
bool each_first_page(const Header& header, Visit visit) {
  for (const FirstPages& first : kFirstPages)
    if (!visit(header.sections[static_cast<size_t>(first.section)].offset, first.pages * kPageBytes)) return false;
  return visit(0, kPageBytes);
}

// ---- the file ----

/// A file that may not grow so far draws SIGXFSZ when it is given its size.
bool file_size_allowed(uint64_t bytes) {
  rlimit limit{};
  if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, reinterpret_cast<long>(&limit)))) return true;
  return limit.rlim_cur >= bytes;
}

void remove_file(long fd, std::span<char> path) {
  base::close_file(fd);
  remove_ledger_file(path.data());
  path[0] = '\0';
}

/// A new file of the ledger's size, with storage for its first pages (`has_first`; some file systems cannot say); the
/// header is given what tells its process from others. `kept_bytes` more are about to be written. A negative number:
/// there is none, and `why`.
long make_file(const LedgerPlace& place, int pid, Header& header, std::span<char> path, FileIdentity& identity,
               const char*& why, bool& has_first, uint64_t kept_bytes = 0) {
  path[0] = '\0';
  if (!file_size_allowed(header.file_bytes)) {
    why = "the file size limit (ulimit -f) is too low for a ledger";
    return -EFBIG;
  }
  NewFile file = make_ledger_file(place, pid, path);
  const long fd = file.fd;
  if (fd < 0) {
    path[0] = '\0';
    why = fd == -EMFILE || fd == -ENFILE ? "no descriptor was free to make a ledger"
                                         : "no file could be made in the ledger directory";
    return fd;
  }
  identity = file.identity;
  if (!g_room.begin(fd, place.directory, first_bytes() + kept_bytes)) {
    why = "the ledger directory is nearly full; what is left is for the program";
    remove_file(fd, path);
    return -ENOSPC;
  }
  header.pid_namespace = file.pid_namespace;
  header.boot = file.boot;
  header.created_boottime_ns = ledger::boottime_ns();
  has_first = true;
  auto allocate = [&](uint64_t offset, uint64_t bytes) {
    long result = raw_syscall(SYS_fallocate, fd, 0, static_cast<long>(offset), static_cast<long>(bytes));
    has_first = has_first && !is_error(result);
    return !is_error(result) || result == -EOPNOTSUPP || result == -ENOSYS;
  };
  bool has_size = !is_error(raw_syscall(SYS_ftruncate, fd, static_cast<long>(header.file_bytes)));
  if (has_size && each_first_page(header, allocate)) return fd;
  why = "the ledger directory is full";
  remove_file(fd, path);
  return -ENOSPC;
}

// ---- a new ledger ----

void unmap_parts(const Header& header, std::byte* base) {
  Extents::Part parts[Extents::kMostParts];
  size_t count = g_extents.parts(header, parts);
  for (const Extents::Part& part : std::span(parts).first(count)) {
    base::unmap_memory(base + part.start, part.end - part.start);
    base::return_address_space(part.end - part.start);
  }
}

/// Maps the parts that are in use, of the file or (`fd` −1) of private memory. nullptr: it failed.
std::byte* map_parts(const Header& header, long fd) {
  Extents::Part parts[Extents::kMostParts];
  size_t count = g_extents.parts(header, parts);
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += parts[i].end - parts[i].start;
  if (!base::may_take_address_space(bytes)) return nullptr;
  constexpr int kAttempts = 4;  // where something lies in the way
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uintptr_t place = base::own_addresses(header.file_bytes);
    auto map = [&](const Extents::Part& part) {
      return base::map_at(place + part.start, part.end - part.start, PROT_READ | PROT_WRITE,
                          fd < 0 ? base::kPrivateMemory : kShared, fd, fd < 0 ? 0 : part.start) == 0;
    };
    size_t mapped = 0;
    while (mapped < count && map(parts[mapped])) ++mapped;
    if (mapped == count) {
      for (const Extents::Part& part : std::span(parts).first(count))
        base::leave_out_of_dumps(reinterpret_cast<void*>(place + part.start), part.end - part.start);
      return reinterpret_cast<std::byte*>(place);
    }
    while (mapped-- > 0)
      base::unmap_memory(reinterpret_cast<void*>(place + parts[mapped].start), parts[mapped].end - parts[mapped].start);
  }
  base::return_address_space(bytes);
  return nullptr;
}

void mark_first_pages(const Header& header, std::atomic<uint8_t>* populated) {
  each_first_page(header, [populated](uint64_t offset, uint64_t bytes) {
    mark(populated, offset, bytes);
    return true;
  });
}

/// `has_first`: the first pages have storage.
bool begin(const Header& header, long fd, bool has_first, Writer& out) {
  std::byte* base = map_parts(header, fd);
  auto* populated = base ? begin_populated(header) : nullptr;
  if (!base) return false;
  if (!populated) {
    unmap_parts(header, base);
    return false;
  }
  out = Writer(base, fd < 0 ? Backing::private_memory : Backing::shared_file, populated, &g_extents, &g_room);
  if (has_first) mark_first_pages(header, populated);
  auto begins = [&] {
    if (!out.ensure(0, kPageBytes)) return false;
    std::memcpy(static_cast<void*>(base), &header, sizeof header);
    return each_first_page(header, [&out](uint64_t offset, uint64_t bytes) { return out.ensure(offset, bytes); });
  };
  if (begins()) return true;
  unmap_parts(header, base);
  return false;
}

/// When the launcher ends, it notes in every ledger that it finds that it accepts no more; a process that starts a
/// ledger later sees that the launcher's file is gone.
void note_launcher(const LedgerPlace& place, const FileIdentity& identity, const Writer& ledger) {
  if (!identity.is_launchers || !launcher_takes_ledgers(place))
    ledger.header().launcher_gone.store(1, std::memory_order_release);
}

bool map_shared(const LedgerPlace& place, int pid, Header& header, Writer& out, std::span<char> path,
                FileIdentity& identity, const char*& why) {
  bool has_first;
  long fd = make_file(place, pid, header, path, identity, why, has_first);
  if (fd < 0) return false;
  if (base::is_address_space_short())
    g_extents.set_used(header);
  else
    g_extents.set_whole(header);
  if (begin(header, fd, has_first, out)) {
    base::close_file(fd);
    return true;
  }
  why = "the ledger could not be mapped";
  remove_file(fd, path);
  return false;
}

bool map_private(const Header& header, Writer& out) {
  g_extents.set_used(header);
  if (!begin(header, -1, true, out)) return false;
  out.header().flags.fetch_or(ledger::kHeaderFlagPrivate, std::memory_order_relaxed);
  return true;
}

}  // namespace

void unmap_ledger(Writer& ledger, std::span<char> path) {
  static Header header;
  std::memcpy(static_cast<void*>(&header), &ledger.header(), sizeof header);
  unmap_parts(header, static_cast<std::byte*>(ledger.base()));
  ledger = {};
  if (path[0]) remove_ledger_file(path.data());
  path[0] = '\0';
}

bool map_ledger(const LedgerPlace& place, int pid, Writer& out, std::span<char> path, FileIdentity& identity,
                const char*& why_private) {
  static Header header;
  why_private = nullptr;
  identity = {};
  for (unsigned scale : {kFull, kSmall}) {
    if (scale == kFull && base::is_address_space_short()) continue;
    std::memset(static_cast<void*>(&header), 0, sizeof header);
    ledger::lay_out(header, scale);
    header.pid = pid;
    if (!map_shared(place, pid, header, out, path, identity, why_private)) continue;
    note_launcher(place, identity, out);
    return true;
  }
  identity = {};
  return map_private(header, out);
}

// ---- in the place of a parent's ----

namespace {

/// The parts that are copied to a fork child, in the order of the file.
constexpr SectionId kKept[] = {SectionId::strings, SectionId::modules, SectionId::nodes, SectionId::sites,
                               SectionId::fds};

/// Calls `visit(offset, bytes)` for all pages of it that the parent had backed when it forked: what this process refers
/// to is there. False as soon as `visit` is.
template <class Visit>
bool each_kept_run(const Writer& parent, const Header& fresh, Visit visit) {
  for (SectionId id : kKept) {
    const ledger::Section& table = fresh.sections[static_cast<size_t>(id)];
    uint64_t used = std::min(table.count.load(std::memory_order_relaxed), table.capacity) * table.record_bytes;
    uint64_t page = table.offset / kPageBytes, end = (table.offset + used + kPageBytes - 1) / kPageBytes;
    auto is_backed = [&] { return parent.backed()[page].load(std::memory_order_relaxed) != 0; };
    while (page < end) {
      uint64_t first = page;
      while (page < end && is_backed()) ++page;
      if (page > first && !visit(first * kPageBytes, (page - first) * kPageBytes)) return false;
      while (page < end && !is_backed()) ++page;
    }
  }
  return true;
}

bool write_at(long fd, const std::byte* from, uint64_t bytes, uint64_t offset) {
  while (bytes) {
    long written = raw_syscall(SYS_pwrite64, fd, reinterpret_cast<long>(from), static_cast<long>(bytes),
                               static_cast<long>(offset));
    if (written == -EINTR) continue;
    if (written <= 0) return false;
    from += written;
    offset += static_cast<uint64_t>(written);
    bytes -= static_cast<uint64_t>(written);
  }
  return true;
}

/// Whole pages of the table of sites; their counts are the parent's, and the child's start from nothing: writing to the
/// child's pages later would take a fault for each.
bool write_sites_at(long fd, const std::byte* from, uint64_t bytes, uint64_t offset) {
  static_assert(kPageBytes % sizeof(ledger::Site) == 0);
  alignas(ledger::Site) static std::byte page[kPageBytes];  // one thread takes a child over
  for (uint64_t at = 0; at < bytes; at += kPageBytes) {
    std::memcpy(page, from + at, kPageBytes);
    auto* sites = reinterpret_cast<ledger::Site*>(page);
    for (ledger::Site& site : std::span(sites, kPageBytes / sizeof *sites)) site.forget_counts();
    if (!write_at(fd, page, kPageBytes, offset + at)) return false;
  }
  return true;
}

bool map_over(std::byte* place, uint64_t bytes, int flags, long fd, uint64_t offset) {
  long result = raw_syscall(SYS_mmap, reinterpret_cast<long>(place), static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                            flags | MAP_FIXED, fd, static_cast<long>(offset));
  if (is_error(result)) return false;
  base::leave_out_of_dumps(place, bytes);
  return true;
}

/// Unmaps what is between the parts. That range belongs to the runtime: it is left from a larger parent, or from a
/// parent's thread that was mapping more when another one forked.
void unmap_between(std::byte* base, const Header& header, std::span<const Extents::Part> parts) {
  uint64_t at = 0;
  for (const Extents::Part& part : parts) {
    if (at < part.start) base::unmap_memory(base + at, part.start - at);
    at = part.end;
  }
  if (at < header.file_bytes) base::unmap_memory(base + at, header.file_bytes - at);
}

/// A file of the child's own, written by the kernel, which finds out by itself when there is no room, and then mapped
/// over the parent's.
bool replace_by_file(const LedgerPlace& place, int pid, Header& fresh, const Writer& parent,
                     std::atomic<uint8_t>* populated, std::span<char> path, FileIdentity& identity, const char*& why) {
  bool has_first;
  uint64_t kept_bytes = 0;
  each_kept_run(parent, fresh, [&kept_bytes](uint64_t, uint64_t bytes) {
    kept_bytes += bytes;
    return true;
  });
  long fd = make_file(place, pid, fresh, path, identity, why, has_first, kept_bytes);
  if (fd < 0) return false;
  auto* base = static_cast<std::byte*>(parent.base());
  const ledger::Section& sites = fresh.sections[static_cast<size_t>(SectionId::sites)];
  auto copy = [&](uint64_t offset, uint64_t bytes) {
    bool has_sites = offset >= sites.offset && offset < sites.offset + sites.capacity * sites.record_bytes;
    return (has_sites ? write_sites_at : write_at)(fd, base + offset, bytes, offset);
  };
  bool is_copied =
      each_kept_run(parent, fresh, copy) && write_at(fd, reinterpret_cast<const std::byte*>(&fresh), sizeof fresh, 0);
  why = is_copied ? "the ledger could not be mapped" : "the ledger directory is full";
  Extents::Part parts[Extents::kMostParts];
  size_t count = g_extents.parts(fresh, parts), left = count;
  // The header is mapped last: until then a failure can be recorded in the parent's.
  auto map = [&](const Extents::Part& part) {
    return map_over(base + part.start, part.end - part.start, kShared, fd, part.start);
  };
  while (is_copied && left > 0 && map(parts[left - 1])) --left;
  if (left > 0) {
    remove_file(fd, path);
    return false;
  }
  base::close_file(fd);
  unmap_between(base, fresh, {parts, count});
  why = nullptr;
  mark(populated, 0, kPageBytes);
  if (has_first) mark_first_pages(fresh, populated);
  return true;
}

/// Private memory, piece by piece: what is kept goes through a buffer while its place changes hands. A parent's private
/// memory is the child's own already.
bool replace_by_private(const Header& fresh, const Writer& parent, std::atomic<uint8_t>* populated) {
  alignas(64) static std::byte buffer[4 * kPageBytes];  // one thread takes a child over
  auto* base = static_cast<std::byte*>(parent.base());  // of `populated`, so far, what is kept is marked
  bool is_own = parent.backing() == Backing::private_memory;
  g_extents.set_used(fresh);
  Extents::Part parts[Extents::kMostParts];
  size_t count = g_extents.parts(fresh, parts);
  auto is_kept = [populated](uint64_t at) { return populated[at / kPageBytes].load(std::memory_order_relaxed) != 0; };
  auto replace = [&](const Extents::Part& part) {
    for (uint64_t at = std::max(part.start, kPageBytes), end = at; at < part.end; at = end) {
      bool keeps = is_kept(at);
      uint64_t most = keeps && !is_own ? std::min(part.end, at + sizeof buffer) : part.end;
      while (end < most && is_kept(end) == keeps) end += kPageBytes;
      if (keeps && is_own) continue;
      if (keeps) std::memcpy(buffer, base + at, end - at);
      if (!map_over(base + at, end - at, base::kPrivateMemory, -1, 0)) return false;
      if (keeps) std::memcpy(base + at, buffer, end - at);
    }
    return true;
  };
  for (size_t i = 0; i < count; ++i)
    if (!replace(parts[i])) return false;
  if (!map_over(base, kPageBytes, base::kPrivateMemory, -1, 0)) return false;
  std::memcpy(static_cast<void*>(base), &fresh, sizeof fresh);
  mark(populated, 0, kPageBytes);
  unmap_between(base, fresh, {parts, count});
  return true;
}

/// Pages were copied whole: behind what is kept may lie records that the parent's other threads, or the one that has
/// forked, have made meanwhile. A new record is taken to be all zeros.
void clear_behind_kept(const Header& fresh, std::byte* base, const std::atomic<uint8_t>* populated) {
  for (SectionId id : kKept) {
    const ledger::Section& table = fresh.sections[static_cast<size_t>(id)];
    uint64_t used = std::min(table.count.load(std::memory_order_relaxed), table.capacity) * table.record_bytes;
    uint64_t end = table.offset + used, rest = (kPageBytes - end % kPageBytes) % kPageBytes;
    if (rest && populated[end / kPageBytes].load(std::memory_order_relaxed)) std::memset(base + end, 0, rest);
  }
}

}  // namespace

bool replace_ledger(const LedgerPlace& place, int pid, Header& fresh, Writer& ledger, std::span<char> path,
                    FileIdentity& identity, const char*& why_private) {
  Writer parent = ledger;
  identity = {};
  fresh.pid = pid;
  auto* populated = begin_populated(fresh);
  if (!populated) return false;
  g_extents.reset_lock_after_fork();
  ledger::reset_writers_after_fork();
  auto keep = [populated](uint64_t offset, uint64_t bytes) {
    mark(populated, offset, bytes);
    return true;
  };
  each_kept_run(parent, fresh, keep);
  auto backing = Backing::shared_file;
  if (!replace_by_file(place, pid, fresh, parent, populated, path, identity, why_private)) {
    identity = {};
    fresh.flags.fetch_or(ledger::kHeaderFlagPrivate, std::memory_order_relaxed);
    backing = Backing::private_memory;
    if (!replace_by_private(fresh, parent, populated)) return false;
  }
  clear_behind_kept(fresh, static_cast<std::byte*>(parent.base()), populated);
  ledger = Writer(parent.base(), backing, populated, &g_extents, &g_room);
  note_launcher(place, identity, ledger);
  return true;
}

}  // namespace unfreed::runtime
