#include "trace/module_image.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "elf/file.h"

namespace unfreed::trace {

namespace {

/// Reads the program headers of an ELF file of this machine's kind.
std::vector<Elf64_Phdr> read_segments(int file) {
  Elf64_Ehdr header{};
  if (pread(file, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return {};
  bool is_elf = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64;
  if (!is_elf || header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > 128) return {};
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  auto bytes = static_cast<ssize_t>(segments.size() * sizeof(Elf64_Phdr));
  if (pread(file, segments.data(), static_cast<size_t>(bytes), static_cast<off_t>(header.e_phoff)) != bytes) return {};
  return segments;
}

bool is_wanted(const Elf64_Phdr& segment) {
  return segment.p_type == PT_LOAD && !(segment.p_flags & PF_W) && segment.p_filesz > 0;
}

/// The range of addresses that the wanted segments take. False where they make no sense: the file is anybody's.
bool find_extent(const std::vector<Elf64_Phdr>& segments, uintptr_t& low, uintptr_t& high) {
  constexpr uint64_t kHighest = uint64_t{1} << 47;
  constexpr uint64_t kMostBytes = uint64_t{2} << 30;
  low = UINTPTR_MAX;
  high = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (!is_wanted(segment)) continue;
    if (segment.p_vaddr > kHighest || segment.p_filesz > kMostBytes || segment.p_offset > kHighest) return false;
    low = std::min<uintptr_t>(low, segment.p_vaddr);
    high = std::max<uintptr_t>(high, segment.p_vaddr + segment.p_filesz);
  }
  return low < high && high - low <= kMostBytes;
}

constexpr size_t kPage = 4096;

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

bool ModuleImage::read(int file, uintptr_t bias) {
  std::vector<Elf64_Phdr> segments = read_segments(file);
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
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_GNU_EH_FRAME && segment.p_vaddr >= low && segment.p_vaddr < high) header = segment.p_vaddr;
    if (!is_wanted(segment)) continue;
    auto* to = reinterpret_cast<std::byte*>(base + (segment.p_vaddr - low));
    for (uint64_t done = 0; done < segment.p_filesz;) {
      ssize_t got = pread(file, to + done, segment.p_filesz - done, static_cast<off_t>(segment.p_offset + done));
      if (got <= 0) return false;
      done += static_cast<uint64_t>(got);
    }
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
bool ModuleImage::make_search_table(int file, uintptr_t low) {
  struct stat status {};
  if (fstat(file, &status) != 0) return false;
  elf::Bytes bytes(file, static_cast<uint64_t>(status.st_size));
  elf::File elf;
  elf::Section section;
  if (elf.open(bytes) || !elf.find_section(".eh_frame", section) || section.address < low) return false;
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
