#include "ledger/writer.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

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

bool populate_bytes(std::byte* first, size_t bytes) {
  long result = base::populate_memory(first, bytes);
  return result == -EINVAL ? populate_by_reading(first, bytes) : !base::is_error(result);
}

}  // namespace

bool Writer::populate(uint64_t first_page, uint64_t last_page) const {
  auto is_there = [this](uint64_t page) { return populated_[page].load(std::memory_order_relaxed) != 0; };
  auto make = [this](uint64_t page, uint64_t pages) {
    if (!populate_bytes(base_ + page * kPageBytes, pages * kPageBytes)) return false;
    for (uint64_t end = page + pages; page < end; ++page) populated_[page].store(1, std::memory_order_relaxed);
    return true;
  };
  for (uint64_t page = first_page; page <= last_page; ++page) {
    if (is_there(page)) continue;
    // The page before has storage: this is a table that grows.
    uint64_t ahead = page && is_there(page - 1) ? kPagesAtOnce : 1;
    uint64_t most = page ? std::min(std::max(ahead, last_page - page + 1), header().file_bytes / kPageBytes - page) : 1;
    uint64_t pages = 1;
    while (pages < most && !is_there(page + pages)) ++pages;
    if (make(page, pages) || (pages > 1 && make(page, 1))) continue;
    // The header itself is on the first page: there is nowhere to count its own failure.
    if (page) drop(Dropped::storage_full);
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
constexpr Shape kShapes[] = {
    {SectionId::strings, 1, 4u << 20, 1, false},
    {SectionId::modules, sizeof(Module), 4096, 1, false},
    {SectionId::nodes, sizeof(Node), 8u << 20, 1, true},
    {SectionId::sites, sizeof(Site), 2u << 20, 1, true},
    {SectionId::fds, sizeof(FdRecord), 1u << 20, 0, false},
    {SectionId::threads, sizeof(ThreadRecord), 65536, 0, true},
    {SectionId::chunk_heads, sizeof(ChunkHead), 65536, 0, true},
    {SectionId::chunks, sizeof(Chunk), 65536, 0, true},
    {SectionId::kernel_fds, sizeof(KernelFd), 1u << 20, 0, false},
    {SectionId::failures, sizeof(Failure), 256, 0, false},
    {SectionId::misuses, sizeof(Misuse), 1024, 0, false},
    {SectionId::children, sizeof(ChildRecord), 65536, 0, true},
    {SectionId::kernel_tasks, sizeof(KernelTask), 131072, 0, true},
    {SectionId::crossings, sizeof(Crossing), 512, 0, false},
};
static_assert(sizeof kShapes / sizeof kShapes[0] == kSectionCount);
}  // namespace

void lay_out(Header& header, unsigned scale) {
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.format_version = kFormatVersion;
  header.byte_order = kByteOrder;
  header.header_bytes = sizeof(Header);
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

}  // namespace unfreed::ledger
