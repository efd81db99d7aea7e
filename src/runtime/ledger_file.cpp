#include "runtime/ledger_file.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>
#include <iterator>

#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using ledger::Backing;
using ledger::Header;
using ledger::Writer;

namespace {

/// There is one byte per page of the largest ledger there can be.
constexpr size_t kMostLedgerBytes = size_t{1} << 30;
std::atomic<uint8_t>* g_populated;

/// A file that may not grow so far draws SIGXFSZ when it is given its size.
bool file_size_allowed(uint64_t bytes) {
  rlimit limit{};
  if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, reinterpret_cast<long>(&limit)))) return true;
  return limit.rlim_cur >= bytes;
}

uint64_t ledger_bytes(unsigned scale) {
  static Header header;  // zeroed; used by one thread at a time (start, fork)
  std::memset(static_cast<void*>(&header), 0, sizeof header);
  ledger::lay_out(header, scale);
  return header.file_bytes;
}

}  // namespace

bool launcher_takes_ledgers(const LedgerPlace& place) {
  if (!place.has_launcher) return false;
  base::FixedText<384> file;
  file.add(place.directory).add("/unfreed.").add(place.session).add(".launcher");
  return !is_error(raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>(file.c_str()), 0));
}

namespace {

/// Left by an image of this process that has called exec, or by an earlier process of the same pid that has.
bool is_replaced(const char* path) {
  static Header header;  // used by one thread at a time (start, fork)
  long fd = base::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  long size = raw_syscall(SYS_pread64, fd, reinterpret_cast<long>(&header), sizeof header, 0);
  base::close_file(fd);
  return size == sizeof header && std::memcmp(header.magic, ledger::kMagic, sizeof header.magic) == 0 &&
         header.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(ledger::State::replaced);
}

/// Opens the first free name of this pid in the place.
long create_file(const LedgerPlace& place, int pid, std::span<char> path) {
  constexpr int kMostImages = 4096;
  for (int image = 0; image < kMostImages; ++image) {
    base::TextBuilder name(path);
    name.add(place.directory).add("/unfreed.").add(place.session).add('.').add_signed(pid).add('.').add_signed(image);
    if (name.cut()) return -ENAMETOOLONG;
    // A finished image's name with its suffix counts as taken too: the launcher tells images apart by it.
    size_t end = name.size();
    name.add(".done");
    struct stat ignored;
    bool taken = raw_syscall(SYS_newfstatat, AT_FDCWD, reinterpret_cast<long>(path.data()),
                             reinterpret_cast<long>(&ignored), AT_SYMLINK_NOFOLLOW) == 0;
    path[end] = '\0';
    if (taken) continue;
    constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    long fd = base::open_file(path.data(), kNew, 0600);
    if (fd == -EEXIST && !launcher_takes_ledgers(place) && is_replaced(path.data())) {
      raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(path.data()), 0);
      fd = base::open_file(path.data(), kNew, 0600);
    }
    if (fd != -EEXIST) return fd;
  }
  return -EEXIST;
}

void* map(uint64_t bytes, int flags, long fd) {
  long result =
      raw_syscall(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
  return is_error(result) ? nullptr : reinterpret_cast<void*>(result);
}

/// The map of a ledger to come. In a fork child the parent's ledger is read beside it, with the map that it has.
bool begin_populated() {
  static std::atomic<uint8_t>* maps[2];
  constexpr size_t kPages = kMostLedgerBytes / ledger::kPageBytes;
  auto*& map = maps[g_populated == maps[0] && maps[0] ? 1 : 0];
  if (!map) {
    map = base::own_array<std::atomic<uint8_t>>(kPages);
  } else if (is_error(raw_syscall(SYS_madvise, reinterpret_cast<long>(map), kPages, MADV_DONTNEED))) {
    // Else it reads as zeros again.
    for (size_t i = 0; i < kPages; ++i) map[i].store(0, std::memory_order_relaxed);
  }
  g_populated = map;
  return map;
}

/// True when the first page could be backed; the header is then laid out.
bool begin(void* base, unsigned scale, Backing backing, Writer& out) {
  out = Writer(base, backing, g_populated);
  if (!out.ensure(0, ledger::kPageBytes)) return false;
  ledger::lay_out(out.header(), scale);
  return true;
}

bool map_shared(const LedgerPlace& place, int pid, unsigned scale, Writer& out, std::span<char> path,
                const char*& why) {
  uint64_t bytes = ledger_bytes(scale);
  if (!file_size_allowed(bytes)) {
    why = "the file size limit (ulimit -f) is too low for a ledger";
    return false;
  }
  long fd = create_file(place, pid, path);
  if (fd < 0) {
    why = fd == -EMFILE || fd == -ENFILE ? "no descriptor was free to make a ledger"
                                         : "no file could be made in the ledger directory";
    return false;
  }
  void* base =
      is_error(raw_syscall(SYS_ftruncate, fd, static_cast<long>(bytes))) ? nullptr : map(bytes, MAP_SHARED, fd);
  base::close_file(fd);
  if (base && begin(base, scale, Backing::shared_file, out)) return true;
  why = base ? "the ledger directory is full" : "the ledger could not be mapped";
  if (base) base::unmap_memory(base, bytes);
  raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(path.data()), 0);
  return false;
}

bool map_private(unsigned scale, Writer& out) {
  void* base = map(ledger_bytes(scale), MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!base || !begin(base, scale, Backing::private_memory, out)) return false;
  out.header().flags.fetch_or(ledger::kHeaderFlagPrivate, std::memory_order_relaxed);
  return true;
}

}  // namespace

void clear_replaced(const LedgerPlace& place, int pid) {
  constexpr int kMostImages = 16;
  for (int image = 0; image < kMostImages; ++image) {
    base::FixedText<384> name;
    name.add(place.directory).add("/unfreed.").add(place.session).add('.').add_signed(pid).add('.').add_signed(image);
    if (!is_replaced(name.c_str())) return;
    raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(name.c_str()), 0);
  }
}

bool map_ledger(const LedgerPlace& place, int pid, int scale_index, Writer& out, std::span<char> path,
                const char*& why_private) {
  why_private = nullptr;
  if (!begin_populated()) return false;
  auto wanted = [scale_index](int index) { return scale_index < 0 || scale_index == index; };
  bool mapped = false;
  for (int i = 0; i < static_cast<int>(std::size(kScales)) && !mapped; ++i)
    mapped = wanted(i) && map_shared(place, pid, kScales[i], out, path, why_private);
  // The launcher says to every ledger that is there that it takes no more; to one made later its file's absence does.
  if (mapped && !launcher_takes_ledgers(place))
    out.header().handover.fetch_or(ledger::kHandoverLauncherGone, std::memory_order_acq_rel);
  if (!mapped) path[0] = '\0';
  for (int i = 0; i < static_cast<int>(std::size(kScales)) && !mapped; ++i)
    mapped = wanted(i) && map_private(kScales[i], out);
  return mapped;
}

int scale_index_of(const Header& header) {
  for (int i = 0; i < static_cast<int>(std::size(kScales)); ++i)
    if (ledger_bytes(kScales[i]) == header.file_bytes) return i;
  return 0;
}

}  // namespace unfreed::runtime
