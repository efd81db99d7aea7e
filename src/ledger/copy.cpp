#include "ledger/copy.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/unique_fd.h"

namespace unfreed::ledger {

namespace {

using base::is_error;
using base::raw_syscall;

CopyError refused(const char* message, long result) { return {message, static_cast<int>(-result)}; }

constexpr CopyError kNoMemory{"cannot be copied: there is not enough memory", ENOMEM};

CopyError why_not_opened(long result) {
  if (result == -ELOOP) return {"is a symbolic link; ledgers are not read through links", 0};
  return refused("cannot be opened", result);
}

/// The acquired halves of counters; `Counters` is a Site or a Cell.
template <class Counters>
void take_acquired(std::byte* to, const std::byte* from, size_t bytes) {
  for (size_t at = 0; at + sizeof(Counters) <= bytes; at += sizeof(Counters)) {
    auto& copy = *reinterpret_cast<Counters*>(to + at);
    const auto& seen = *reinterpret_cast<const Counters*>(from + at);
    copy.acquired.store(seen.acquired.load(std::memory_order_relaxed), std::memory_order_relaxed);
    copy.acquired_bytes.store(seen.acquired_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

size_t growth_bytes(uint64_t file_bytes) { return sizeof(Extents) + kPageBytes + file_bytes / kPageBytes; }

/// Addresses of copies that were dropped while later ones were in use. Where ledgers of running processes, of several
/// sizes, are read again and again, copies take turns, and would else use up more and more addresses, until they reach
/// what others have mapped.
class SpareAddresses {
 public:
  uintptr_t take(uint64_t bytes) {
    base::Hold hold(lock_);
    for (Range& range : ranges_) {
      if (range.bytes < bytes) continue;
      uintptr_t address = range.address;
      range = {address + bytes, range.bytes - bytes};
      return address;
    }
    return base::own_addresses(bytes);
  }
  void put(uintptr_t address, uint64_t bytes) {
    base::Hold hold(lock_);
    Range free{address, bytes};
    Range* place = nullptr;
    // Neighbours are one: a pass for the one before and one for the one behind.
    for (int pass = 0; pass < 2; ++pass) {
      for (Range& range : ranges_) {
        bool is_before = range.bytes && range.address + range.bytes == free.address;
        bool is_behind = range.bytes && free.address + free.bytes == range.address;
        if (is_before || is_behind) {
          free = {is_before ? range.address : free.address, free.bytes + range.bytes};
          range = {};
        }
        if (!range.bytes) place = &range;
      }
    }
    base::return_own_addresses(free.address, free.bytes);
    if (place && base::own_addresses(0) != free.address) *place = free;
  }

 private:
  struct Range {
    uintptr_t address = 0;
    uint64_t bytes = 0;  ///< 0: none
  };
  base::Lock lock_;
  Range ranges_[16];
};
constinit SpareAddresses g_spare;

}  // namespace

Copy::~Copy() { reset(); }

Copy::Copy(Copy&& other) noexcept { *this = static_cast<Copy&&>(other); }

Copy& Copy::operator=(Copy&& other) noexcept {
  if (this == &other) return *this;
  reset();
  base_ = other.base_;
  growth_ = other.growth_;
  bytes_ = other.bytes_;
  view_ = other.view_;
  writer_ = other.writer_;
  other.base_ = nullptr;
  other.growth_ = nullptr;
  other.view_ = View();
  other.writer_ = Writer();
  return *this;
}

void Copy::reset() {
  if (base_) {
    base::unmap_memory(base_, bytes_);
    g_spare.put(reinterpret_cast<uintptr_t>(base_), bytes_);
  }
  if (growth_) base::unmap_memory(growth_, growth_bytes(bytes_));
  base_ = nullptr;
  growth_ = nullptr;
  bytes_ = 0;
  view_ = View();
  writer_ = Writer();
}

Section& Copy::section(SectionId id) const {
  return reinterpret_cast<Header*>(base_)->sections[static_cast<uint32_t>(id)];
}

bool Copy::is_running() const {
  const auto& header = *reinterpret_cast<const Header*>(base_);
  return header.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(State::live);
}

CopyError Copy::load(const char* path) {
  reset();
  // Opening a fifo or a terminal must neither wait nor take it over.
  base::UniqueFd file(base::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  return file ? load(file.get()) : why_not_opened(-file.error());
}

CopyError Copy::load(long file) {
  reset();
  file_ = file;
  CopyError error = check_file();
  if (!error) error = take_memory();
  if (!error) error = copy_all();
  if (error) reset();
  file_ = -1;
  return error;
}

CopyError Copy::check_file() {
  struct stat status {};
  long result = raw_syscall(SYS_fstat, file_, reinterpret_cast<long>(&status));
  if (is_error(result)) return refused("cannot be examined", result);
  if (!S_ISREG(status.st_mode)) return {"is not a regular file", 0};
  if (status.st_size < static_cast<off_t>(kPageBytes)) return {"is too short to be a ledger", 0};
  if (static_cast<uint64_t>(status.st_size) > kMaxFileBytes) return {"is too large to be a ledger", 0};
  bytes_ = (static_cast<uint64_t>(status.st_size) + kPageBytes - 1) / kPageBytes * kPageBytes;
  return {};
}

/// Addresses for all of it, and memory for its first page.
CopyError Copy::take_memory() {
  growth_ = static_cast<Growth*>(base::map_memory(growth_bytes(bytes_)));
  if (!growth_) return kNoMemory;
  constexpr int kAttempts = 8;  // where something lies in the way
  for (int attempt = 0; attempt < kAttempts && !base_; ++attempt) {
    base_ = reinterpret_cast<std::byte*>(g_spare.take(bytes_));
    if (!map(0, kPageBytes)) base_ = nullptr;
  }
  return base_ ? CopyError{} : kNoMemory;
}

bool Copy::map(uint64_t start, uint64_t end) {
  for (uint64_t page = start / kPageBytes; page < end / kPageBytes; ++page) growth_->populated[page] = 1;
  auto place = reinterpret_cast<uintptr_t>(base_) + start;
  return start == end || base::map_at(place, end - start, PROT_READ | PROT_WRITE, base::kPrivateMemory) == 0;
}

/// As much of a section as is in use by now.
bool Copy::map_used(SectionId id) {
  uint64_t& end = growth_->ends[static_cast<size_t>(id)];
  uint64_t from = end ? end : section(id).offset, to = Extents::used_end(section(id));
  if (to <= from) return true;
  end = to;
  return map(from, to);
}

CopyError Copy::copy_header() {
  if (CopyError error = read_at(0, base_, kPageBytes)) return error;
  if (const char* fault = View::open({base_, bytes_}, view_, growth_->populated)) return {fault, 0};
  const auto& header = *reinterpret_cast<const Header*>(base_);
  if (header.file_bytes > bytes_) return {"is truncated: it says that it was larger", 0};
  return {};
}

CopyError Copy::copy_all() {
  if (CopyError error = copy_header()) return error;
  // What refers to other tables is read before what it refers to: all that is referred to is then there.
  constexpr SectionId kCounters[] = {SectionId::chunk_heads, SectionId::chunks, SectionId::sites};
  constexpr SectionId kReferredTo[] = {SectionId::nodes, SectionId::modules, SectionId::strings};
  auto is_among = [](std::span<const SectionId> list, SectionId id) {
    return std::find(list.begin(), list.end(), id) != list.end();
  };
  for (size_t number = 0; number < kSectionCount; ++number) {
    auto id = static_cast<SectionId>(number);
    if (is_among(kCounters, id) || is_among(kReferredTo, id)) continue;
    if (CopyError error = copy_section(id)) return error;
  }
  if (CopyError error = copy_counters()) return error;
  for (SectionId id : kReferredTo)
    if (CopyError error = copy_section(id)) return error;
  growth_->extents.set_used(*reinterpret_cast<const Header*>(base_));
  writer_ = Writer(base_, Backing::private_memory, growth_->populated, &growth_->extents);
  return {};
}

/// Reads one table's count from the file, then that many records.
CopyError Copy::copy_section(SectionId id) {
  Section& table = section(id);
  auto offset = static_cast<uint64_t>(reinterpret_cast<const std::byte*>(&table.count) - base_);
  uint64_t count = 0;
  if (CopyError error = read_at(offset, &count, sizeof count)) return error;
  // Chunks are handed out together with their heads, whose count speaks for both.
  if (id == SectionId::chunks) count = section(SectionId::chunk_heads).count.load(std::memory_order_relaxed);
  if (count > table.capacity) count = table.capacity;
  table.count.store(count, std::memory_order_relaxed);
  if (!map_used(id)) return kNoMemory;
  return copy_range(table.offset, count * table.record_bytes, nullptr);
}

CopyError Copy::copy_sites_and_chunks() {
  for (SectionId id : {SectionId::chunk_heads, SectionId::chunks, SectionId::sites})
    if (CopyError error = copy_section(id)) return error;
  return {};
}

/// Everything released was read before this, so that a block that one thread acquires and another one releases
/// in between is not seen as released only.
CopyError Copy::read_acquired_again() {
  const Section& chunks = section(SectionId::chunks);
  const Section& sites = section(SectionId::sites);
  if (CopyError error =
          copy_range(chunks.offset, chunks.count.load(std::memory_order_relaxed) * sizeof(Chunk), take_acquired<Cell>))
    return error;
  return copy_range(sites.offset, sites.count.load(std::memory_order_relaxed) * sizeof(Site), take_acquired<Site>);
}

/// Counters of a running process, undisturbed by a thread's end where that can be had.
CopyError Copy::copy_counters() {
  constexpr int kAttempts = 8;
  auto& header = *reinterpret_cast<Header*>(base_);
  auto offset = static_cast<uint64_t>(reinterpret_cast<const std::byte*>(&header.fold_sequence) - base_);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint32_t before = 0;
    uint32_t after = 0;
    if (CopyError error = read_at(offset, &before, sizeof before)) return error;
    if (CopyError error = copy_sites_and_chunks()) return error;
    if (!is_running()) return {};
    if (CopyError error = read_acquired_again()) return error;
    if (CopyError error = read_at(offset, &after, sizeof after)) return error;
    bool settled = before == after && before % 2 == 0;
    // Left odd where it never settles: View::sum_counts then says so.
    header.fold_sequence.store(settled ? before : 1, std::memory_order_relaxed);
    if (settled) return {};
  }
  return {};
}

/// Copies the file's data between its holes. `take` moves a piece, a multiple of a page, from a buffer to its place in
/// the copy; null: all is read into its place.
CopyError Copy::copy_range(uint64_t offset, uint64_t bytes,
                           void (*take)(std::byte* to, const std::byte* from, size_t bytes)) {
  uint64_t end = offset + bytes;
  while (offset < end) {
    long data = raw_syscall(SYS_lseek, file_, static_cast<long>(offset), SEEK_DATA);
    if (data == -ENXIO) return {};  // only a hole is left
    if (is_error(data) && data != -EINVAL) return refused("cannot be read", data);
    // File systems without holes answer EINVAL at worst: everything is data then.
    uint64_t start = is_error(data) ? offset : static_cast<uint64_t>(data) / kPageBytes * kPageBytes;
    if (start > offset) offset = start;
    if (offset >= end) return {};
    long hole = raw_syscall(SYS_lseek, file_, static_cast<long>(offset), SEEK_HOLE);
    uint64_t data_end = is_error(hole) || static_cast<uint64_t>(hole) > end ? end : static_cast<uint64_t>(hole);
    if (data_end <= offset) data_end = offset + kPageBytes < end ? offset + kPageBytes : end;
    if (CopyError error = copy_data(offset, data_end, take)) return error;
    offset = data_end;
  }
  return {};
}

CopyError Copy::copy_data(uint64_t offset, uint64_t end,
                          void (*take)(std::byte* to, const std::byte* from, size_t bytes)) {
  if (!take) return read_at(offset, base_ + offset, end - offset);
  alignas(Chunk) std::byte buffer[4 * kPageBytes];
  for (size_t piece = 0; offset < end; offset += piece) {
    piece = end - offset < sizeof buffer ? static_cast<size_t>(end - offset) : sizeof buffer;
    if (CopyError error = read_at(offset, buffer, piece)) return error;
    take(base_ + offset, buffer, piece);
  }
  return {};
}

CopyError Copy::read_at(uint64_t offset, void* out, size_t bytes) const {
  for (size_t done = 0; done < bytes;) {
    long got = raw_syscall(SYS_pread64, file_, reinterpret_cast<long>(static_cast<std::byte*>(out) + done),
                           static_cast<long>(bytes - done), static_cast<long>(offset + done));
    if (got == -EINTR) continue;
    if (is_error(got)) return refused("cannot be read", got);
    if (got == 0) return {"became shorter while it was read", 0};
    done += static_cast<size_t>(got);
  }
  return {};
}

}  // namespace unfreed::ledger
