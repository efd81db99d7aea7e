#include "ledger/writer.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/address_space.h"
#include "base/syscall.h"

namespace unfreed::ledger {

namespace {

/// Before Linux 5.14: have the kernel read a byte of every page on our behalf. A read of a shared page that is not
/// there makes it; where there is no room for it the system call fails, where a touch would be SIGBUS.
bool populate_by_reading(std::byte* first, size_t bytes) {
  char byte;
  for (size_t at = 0; at < bytes; at += kPageBytes) {
    if (base::copy_memory(0, reinterpret_cast<uintptr_t>(first + at), &byte, 1) != 1) return false;
  }
  return true;
}

}  // namespace

bool back_shared_memory(std::byte* first, size_t bytes) {
  long result = base::populate_memory(first, bytes);
  return result == -EINVAL ? populate_by_reading(first, bytes) : !base::is_error(result);
}

namespace {
/// In populate(), of all writers.
constinit std::atomic<uint32_t> g_populating{0};
struct Populating {
  Populating() { g_populating.fetch_add(1, std::memory_order_seq_cst); }
  ~Populating() { g_populating.fetch_sub(1, std::memory_order_release); }
};
}  // namespace

void Writer::unmap_unused() const {
  if (extents_) extents_->unmap_unused(base_, header(), populated_, g_populating);
}

void reset_writers_after_fork() { g_populating.store(0, std::memory_order_relaxed); }

bool Writer::populate(uint64_t first_page, uint64_t last_page, Shortage shortage) const {
  Populating counted;
  auto is_there = [this](uint64_t page) { return populated_[page].load(std::memory_order_relaxed) != 0; };
  auto make = [this](uint64_t page, uint64_t pages) {
    std::byte* first = base_ + page * kPageBytes;
    if (backing_ == Backing::shared_file) {
      if (room_ && !room_->take(pages * kPageBytes)) return false;
      if (!back_shared_memory(first, pages * kPageBytes)) return false;
    }
    for (uint64_t end = page + pages; page < end; ++page) populated_[page].store(1, std::memory_order_relaxed);
    return true;
  };
  for (uint64_t page = first_page; page <= last_page; ++page) {
    if (is_there(page)) continue;
    // The page before has storage: this is a table that grows.
    uint64_t ahead = page && is_there(page - 1) ? kPagesAtOnce : 1;
    uint64_t mapped_end = page ? extents_->reach(base_, header(), page * kPageBytes) / kPageBytes : 1;
    uint64_t most = mapped_end > page ? std::min(std::max(ahead, last_page - page + 1), mapped_end - page) : 0;
    uint64_t pages = std::min<uint64_t>(most, 1);
    while (pages < most && !is_there(page + pages)) ++pages;
    if (pages && (make(page, pages) || (pages > 1 && make(page, 1)))) continue;
    // The header itself is on the first page: there is nowhere to count its own failure.
    if (page && shortage == Shortage::counted) drop(Dropped::storage_full);
    return false;
  }
  return true;
}

void Writer::reserve(SectionId id, uint64_t records) const {
  const Section& table = section(id);
  uint64_t first = table.count.load(std::memory_order_relaxed);
  if (first >= table.capacity) return;
  if (records > table.capacity - first) records = table.capacity - first;
  ensure(table.offset + first * table.record_bytes, records * table.record_bytes);
}

StringRef Writer::add_text(std::string_view text) const {
  if (text.empty()) return 0;
  Section& strings = section(SectionId::strings);
  uint64_t start = strings.count.fetch_add(text.size() + 1, std::memory_order_acq_rel);
  if (start + text.size() + 1 > strings.capacity || !ensure(strings.offset + start, text.size() + 1)) {
    drop(Dropped::strings_full);
    return 0;
  }
  char* place = at<char>(SectionId::strings, start);
  std::memcpy(place, text.data(), text.size());
  place[text.size()] = '\0';
  return static_cast<StringRef>(start);
}

namespace {
struct Shape {
  SectionId id;
  uint32_t record_bytes;
  uint64_t records;  ///< at full size
  uint64_t first;    ///< records spoken for from the start: the reserved "none" record
  bool scales;
};
/// In the order of the file. What a fork child writes to in its parent's ledger comes first, next to the header.
constexpr Shape kShapes[] = {
#define SECTION(name, Record, records, reserved, scales, accessor) \
  {SectionId::name, sizeof(Record), records, reserved, scales},
#include "ledger/sections.inc"
#undef SECTION
};
static_assert(std::size(kShapes) == kSectionCount);

/// Where the section's place ends: sections are as far apart as the largest pages there are, and more.
uint64_t end_of_place(const Header& header, size_t shape) {
  if (shape + 1 == kSectionCount) return header.file_bytes;
  return header.sections[static_cast<size_t>(kShapes[shape + 1].id)].offset;
}
constexpr size_t kHeaderPart = kSectionCount;

uint64_t whole_pages(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }
uint64_t end_of(const Section& table) { return table.offset + whole_pages(table.capacity * table.record_bytes); }
}  // namespace

void Extents::set_whole(const Header& header) {
  ends_[kHeaderPart].store(header.sections[static_cast<size_t>(kShapes[0].id)].offset, std::memory_order_relaxed);
  for (size_t shape = 0; shape < kSectionCount; ++shape)
    ends_[static_cast<size_t>(kShapes[shape].id)].store(end_of_place(header, shape), std::memory_order_relaxed);
}

uint64_t Extents::used_end(const Section& table) {
  constexpr uint64_t kFirst = 4 * kPageBytes;
  uint64_t used = std::min(table.count.load(std::memory_order_relaxed), table.capacity) * table.record_bytes;
  return std::min(table.offset + whole_pages(std::max(kFirst, used)), end_of(table));
}

void Extents::set_used(const Header& header) {
  ends_[kHeaderPart].store(kPageBytes, std::memory_order_relaxed);
  for (size_t id = 0; id < kSectionCount; ++id)
    ends_[id].store(used_end(header.sections[id]), std::memory_order_relaxed);
}

size_t Extents::parts(const Header& header, std::span<Part, kMostParts> out) const {
  out[0] = {0, ends_[kHeaderPart].load(std::memory_order_relaxed)};
  size_t count = 1;
  for (const Shape& shape : kShapes) {
    auto id = static_cast<size_t>(shape.id);
    Part part{header.sections[id].offset, ends_[id].load(std::memory_order_relaxed)};
    if (out[count - 1].end == part.start)
      out[count - 1].end = part.end;
    else
      out[count++] = part;
  }
  return count;
}

bool Extents::unmap_unused(std::byte* base, const Header& header, const std::atomic<uint8_t>* populated,
                           const std::atomic<uint32_t>& users) {
  base::Hold hold(lock_);
  uint64_t before[kMostParts];
  for (size_t part = 0; part < kMostParts; ++part) before[part] = ends_[part].load(std::memory_order_relaxed);
  // The end of what is in use; of each section at least a page, from which the mapping can go on.
  auto in_use = [&](uint64_t start, uint64_t end) {
    for (; end > start + kPageBytes; end -= kPageBytes)
      if (populated[end / kPageBytes - 1].load(std::memory_order_relaxed)) break;
    return end;
  };
  auto cut = [&] {
    ends_[kHeaderPart].store(kPageBytes, std::memory_order_seq_cst);
    for (size_t id = 0; id < kSectionCount; ++id)
      ends_[id].store(in_use(header.sections[id].offset, before[id]), std::memory_order_seq_cst);
  };
  cut();
  // Whoever has seen the ends as they were is about to fill a page there; or it is this very thread, which a signal has
  // interrupted at that.
  constexpr int kPatience = 200;
  for (int i = 0; users.load(std::memory_order_seq_cst); ++i) {
    if (i == kPatience) {
      for (size_t part = 0; part < kMostParts; ++part) ends_[part].store(before[part], std::memory_order_seq_cst);
      return false;
    }
    base::raw_syscall(SYS_sched_yield);
  }
  cut();
  auto unmap = [base](uint64_t from, uint64_t to) {
    if (from < to) base::unmap_memory(base + from, to - from);
  };
  unmap(kPageBytes, before[kHeaderPart]);
  for (size_t id = 0; id < kSectionCount; ++id) unmap(ends_[id].load(std::memory_order_relaxed), before[id]);
  return true;
}

uint64_t Extents::reach(std::byte* base, const Header& header, uint64_t offset) {
  size_t id = 0;
  while (id < kSectionCount && (offset < header.sections[id].offset || offset >= end_of(header.sections[id]))) ++id;
  if (id == kSectionCount) return 0;
  auto& end = ends_[id];
  if (uint64_t mapped = end.load(std::memory_order_acquire); offset < mapped) return mapped;
  base::Hold hold(lock_);
  uint64_t mapped = end.load(std::memory_order_relaxed), most = end_of(header.sections[id]);
  if (offset < mapped) return mapped;
  constexpr uint64_t kStep = 16 * kPageBytes;
  uint64_t half_more = (mapped - header.sections[id].offset) / 2;
  for (uint64_t wanted : {offset + std::max(kStep, half_more / kPageBytes * kPageBytes), offset + kPageBytes}) {
    uint64_t more = std::min(wanted, most) - mapped;
    if (!base::may_take_address_space(more)) continue;
    // mremap(2) lets a mapping go on in its place: a file's, further on in the file, which need not be open.
    long result = base::raw_syscall(SYS_mremap, reinterpret_cast<long>(base + mapped - kPageBytes), kPageBytes,
                                    static_cast<long>(kPageBytes + more), 0);
    if (!base::is_error(result)) {
      end.store(mapped + more, std::memory_order_release);
      return mapped + more;
    }
    base::return_address_space(more);
  }
  return 0;
}

namespace {
void begin_header(Header& header) {
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.format_version = kFormatVersion;
  header.byte_order = kByteOrder;
  header.header_bytes = sizeof(Header);
}
}  // namespace

void lay_out(Header& header, unsigned scale) {
  begin_header(header);
  // Sections start on boundaries of the largest pages there are, so that backing one never costs another memory.
  constexpr uint64_t kAlignment = 64 * 1024;
  uint64_t offset = kAlignment;
  for (const Shape& shape : kShapes) {
    Section& table = header.sections[static_cast<uint32_t>(shape.id)];
    table.offset = offset;
    table.capacity = shape.scales ? shape.records * scale / 8 : shape.records;
    table.record_bytes = shape.record_bytes;
    table.count.store(shape.first, std::memory_order_relaxed);
    uint64_t bytes = table.capacity * shape.record_bytes;
    offset += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  header.file_bytes = offset;
}

void lay_out_like(const Header& like, Header& header) {
  begin_header(header);
  for (const Shape& shape : kShapes) {
    const Section& from = like.sections[static_cast<size_t>(shape.id)];
    Section& table = header.sections[static_cast<size_t>(shape.id)];
    table.offset = from.offset;
    table.capacity = from.capacity;
    table.record_bytes = from.record_bytes;
    table.count.store(shape.first, std::memory_order_relaxed);
  }
  header.file_bytes = like.file_bytes;
}

}  // namespace unfreed::ledger
