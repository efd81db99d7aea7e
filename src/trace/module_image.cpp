#include "trace/module_image.h"

#include <elf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "arch/address.h"

namespace unfreed::trace {

namespace {

constexpr size_t kPage = 4096;

bool is_wanted(const elf::Segment& segment) {
  return segment.type == PT_LOAD && !(segment.flags & PF_W) && segment.file_bytes > 0;
}

/// Those segments and the one with the search table. Empty where there are too many: the file is anybody's.
std::vector<elf::Segment> list_segments(const elf::File& file) {
  constexpr uint32_t kMost = 128;
  std::vector<elf::Segment> segments;
  elf::Segment segment;
  for (uint32_t index = 0; file.segment_count() <= kMost && index < file.segment_count(); ++index)
    if (file.segment(index, segment) && (is_wanted(segment) || segment.type == PT_GNU_EH_FRAME))
      segments.push_back(segment);
  return segments;
}

/// The range of addresses that the wanted segments take. False where they make no sense: the file is anybody's.
bool find_extent(const std::vector<elf::Segment>& segments, uintptr_t& low, uintptr_t& high) {
  constexpr uint64_t kHighest = uint64_t{1} << arch::kAddressBits;
  constexpr uint64_t kMostBytes = uint64_t{2} << 30;
  low = UINTPTR_MAX;
  high = 0;
  for (const elf::Segment& segment : segments) {
    if (!is_wanted(segment)) continue;
    if (segment.address > kHighest || segment.file_bytes > kMostBytes || segment.offset > kHighest) return false;
    low = std::min<uintptr_t>(low, segment.address);
    high = std::max<uintptr_t>(high, segment.address + segment.file_bytes);
  }
  return low < high && high - low <= kMostBytes;
}

}  // namespace

ModuleImage::~ModuleImage() {
  if (place_) munmap(place_, bytes_);
}

ModuleImage::ModuleImage(ModuleImage&& other) noexcept { *this = std::move(other); }

ModuleImage& ModuleImage::operator=(ModuleImage&& other) noexcept {
  std::swap(place_, other.place_);
  std::swap(bytes_, other.bytes_);
  std::swap(room_, other.room_);
  std::swap(object_, other.object_);
  return *this;
}

bool ModuleImage::read(const elf::Bytes& bytes, uintptr_t bias) {
  elf::File file;
  if (file.open(bytes) || !file.is_64_bit()) return false;
  std::vector<elf::Segment> segments = list_segments(file);
  uintptr_t low, high;
  if (!find_extent(segments, low, high)) return false;
  // Addresses are reserved, not memory: a table of functions is much smaller than their code.
  room_ = (high - low + kPage - 1) / kPage * kPage;
  bytes_ = 2 * room_ + kPage;
  place_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place_ == MAP_FAILED) {
    place_ = nullptr;
    return false;
  }
  auto base = reinterpret_cast<uintptr_t>(place_);
  uintptr_t header = 0;
  for (const elf::Segment& segment : segments) {
    if (segment.type == PT_GNU_EH_FRAME && segment.address >= low && segment.address < high) header = segment.address;
    if (!is_wanted(segment)) continue;
    if (!bytes.read(segment.offset, reinterpret_cast<std::byte*>(base + (segment.address - low)), segment.file_bytes))
      return false;
  }
  object_.image = {base, base + (high - low)};
  object_.shift = static_cast<intptr_t>(base - low - bias);
  object_.eh_frame_hdr = header ? base + (header - low) : 0;
  object_.bias = bias;
  if (!header) make_search_table(file, low);
  return true;
}

/// Static programs have the section .eh_frame, but no .eh_frame_hdr. It is made behind the image, in the one form that
/// the unwinder reads: version, three encodings, the section, a count, and pairs of 32 bits each.
bool ModuleImage::make_search_table(const elf::File& file, uintptr_t low) {
  elf::Section section;
  if (!file.find_section(".eh_frame", section) || section.address < low) return false;
  uintptr_t begin = object_.image.low + (section.address - low);
  if (begin >= object_.image.high || section.bytes > object_.image.high - begin) return false;
  uintptr_t table = object_.image.low + room_ + kPage;
  struct Entry {
    int32_t start, fde;
  };
  std::vector<Entry> entries;
  struct Context {
    std::vector<Entry>& entries;
    uintptr_t table;
  } context{entries, table};
  unwind::each_function(object_.image, begin, begin + section.bytes, &context,
                        [](void* into, uintptr_t start, uintptr_t fde) {
                          auto& [list, base] = *static_cast<Context*>(into);
                          list.push_back({static_cast<int32_t>(start - base), static_cast<int32_t>(fde - base)});
                        });
  if (entries.empty() || entries.size() > (room_ - kPage) / sizeof(Entry)) return false;
  std::sort(entries.begin(), entries.end(),
            [](const Entry& one, const Entry& other) { return one.start < other.start; });
  constexpr uint8_t kUdata4 = 0x03, kSdata4 = 0x0b, kDataRelative = 0x30;
  auto* to = reinterpret_cast<uint8_t*>(table);
  const uint8_t encodings[] = {1, kUdata4, kUdata4, kDataRelative | kSdata4};
  auto count = static_cast<uint32_t>(entries.size());
  std::memcpy(to, encodings, sizeof encodings);
  std::memcpy(to + 8, &count, sizeof count);
  std::memcpy(to + 12, entries.data(), entries.size() * sizeof(Entry));
  object_.eh_frame_hdr = table;
  object_.image.high = table + 12 + entries.size() * sizeof(Entry);
  return true;
}

bool ModuleImage::find(uintptr_t pc, unwind::Object& out) const {
  uintptr_t place = pc + static_cast<uintptr_t>(object_.shift);
  if (place < object_.image.low || place >= object_.image.high) return false;
  out = object_;
  return true;
}

Code ModuleImage::code() const {
  const unwind::Image& image = object_.image;
  return {{reinterpret_cast<const std::byte*>(image.low), image.high - image.low},
          image.low - static_cast<uintptr_t>(object_.shift)};
}

}  // namespace unfreed::trace
