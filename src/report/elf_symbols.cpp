#include "report/elf_symbols.h"

#include <algorithm>
#include <cstring>

namespace unfreed::report {

namespace {
/// More sections than any linker writes (kernels and -ffunction-sections objects have tens of thousands).
constexpr uint64_t kMaxSections = 1u << 20;
constexpr uint64_t kMaxSymbols = 16u << 20;
/// A function written in assembler may have no size: it then reaches to the next one, but not for ever.
constexpr uint64_t kUnsizedReach = 4096;
/// How far back a function that contains others is looked for.
constexpr size_t kNesting = 16;
}  // namespace

template <class T>
bool ElfSymbols::read(uint64_t offset, T& out) const {
  std::span<const std::byte> bytes = part(offset, sizeof(T));
  if (bytes.size() != sizeof(T)) return false;
  std::memcpy(&out, bytes.data(), sizeof(T));  // corrupt offsets need not be aligned
  return true;
}

std::span<const std::byte> ElfSymbols::part(uint64_t offset, uint64_t bytes) const {
  if (offset > file_.size() || bytes > file_.size() - offset) return {};
  return {file_.data() + offset, static_cast<size_t>(bytes)};
}

bool ElfSymbols::read_section(uint64_t index, Elf64_Shdr& out) const {
  uint64_t offset = 0;
  if (__builtin_mul_overflow(index, uint64_t{header_.e_shentsize}, &offset)) return false;
  if (__builtin_add_overflow(offset, header_.e_shoff, &offset)) return false;
  return read(offset, out);
}

bool ElfSymbols::open(std::span<const std::byte> file) {
  *this = ElfSymbols();
  file_ = file;
  if (!read(0, header_) || std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0) return false;
  if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB) return false;
  if (header_.e_shoff == 0 || header_.e_shentsize < sizeof(Elf64_Shdr)) return false;
  Elf64_Shdr section{};
  uint64_t sections = header_.e_shnum;
  // Files with 65,280 sections or more keep the number in the first one.
  if (sections == 0 && read_section(0, section)) sections = section.sh_size;
  if (sections > kMaxSections) sections = kMaxSections;
  Elf64_Shdr table{};
  for (uint64_t index = 0; index < sections && read_section(index, section); ++index) {
    if (section.sh_type == SHT_NOTE && build_id_.empty()) read_build_id(section);
    bool is_better = section.sh_type == SHT_SYMTAB || (section.sh_type == SHT_DYNSYM && table.sh_type != SHT_SYMTAB);
    if (is_better) table = section;
  }
  Elf64_Shdr strings{};
  if (table.sh_type == SHT_NULL || !read_section(table.sh_link, strings) || strings.sh_type != SHT_STRTAB) return false;
  symbols_ = part(table.sh_offset, table.sh_size);
  strings_ = part(strings.sh_offset, strings.sh_size);
  uint64_t count = symbols_.size() / sizeof(Elf64_Sym);
  count_ = static_cast<uint32_t>(count < kMaxSymbols ? count : kMaxSymbols);
  return count_ > 0;
}

void ElfSymbols::read_build_id(const Elf64_Shdr& notes) {
  uint64_t at = 0;
  auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
  while (at + sizeof(Elf64_Nhdr) <= notes.sh_size) {
    Elf64_Nhdr note{};
    uint64_t start = 0;
    if (__builtin_add_overflow(notes.sh_offset, at, &start) || !read(start, note)) return;
    uint64_t name_bytes = padded(note.n_namesz);
    std::span<const std::byte> name = part(start + sizeof note, note.n_namesz);
    std::span<const std::byte> value = part(start + sizeof note + name_bytes, note.n_descsz);
    if (note.n_type == NT_GNU_BUILD_ID && name.size() == 4 && std::memcmp(name.data(), "GNU", 4) == 0) {
      build_id_ = {reinterpret_cast<const char*>(value.data()), value.size()};
      return;
    }
    at += sizeof note + name_bytes + padded(note.n_descsz);
  }
}

Elf64_Sym ElfSymbols::symbol(uint32_t index) const {
  Elf64_Sym result;
  std::memcpy(&result, symbols_.data() + size_t{index} * sizeof result, sizeof result);
  return result;
}

std::string_view ElfSymbols::name(const Elf64_Sym& symbol) const {
  if (symbol.st_name >= strings_.size()) return {};
  const char* start = reinterpret_cast<const char*>(strings_.data()) + symbol.st_name;
  const void* end = std::memchr(start, '\0', strings_.size() - symbol.st_name);
  if (!end) return {};
  return {start, static_cast<size_t>(static_cast<const char*>(end) - start)};
}

bool ElfSymbols::is_function(const Elf64_Sym& symbol) const {
  int type = ELF64_ST_TYPE(symbol.st_info);
  if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) return false;
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || symbol.st_value == 0) return false;
  std::string_view text = name(symbol);
  // "$x" and the like mark kinds of code on ARM; names in dots are local labels.
  return !text.empty() && text.front() != '$' && text.front() != '.';
}

/// By address; of several names for one address the best comes last, where find() meets it first.
bool ElfSymbols::is_before(uint32_t left, uint32_t right) const {
  Elf64_Sym a = symbol(left);
  Elf64_Sym b = symbol(right);
  if (a.st_value != b.st_value) return a.st_value < b.st_value;
  auto rank = [](const Elf64_Sym& symbol) {
    int score = symbol.st_size > 0 ? 4 : 0;
    if (ELF64_ST_TYPE(symbol.st_info) != STT_NOTYPE) score += 2;
    if (ELF64_ST_BIND(symbol.st_info) == STB_GLOBAL) score += 1;
    return score;
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  // "open" rather than "__open64": the fewer underscores before it, the more public; then any fixed order.
  std::string_view a_name = name(a);
  std::string_view b_name = name(b);
  size_t a_start = std::min(a_name.find_first_not_of('_'), a_name.size());
  size_t b_start = std::min(b_name.find_first_not_of('_'), b_name.size());
  if (a_start != b_start) return a_start > b_start;
  if (a_name.size() != b_name.size()) return a_name.size() > b_name.size();
  return a_name != b_name ? a_name > b_name : left < right;
}

void ElfSymbols::build_index(std::span<uint32_t> words) {
  size_t used = 0;
  for (uint32_t index = 0; index < count_ && used < words.size(); ++index)
    if (is_function(symbol(index))) words[used++] = index;
  index_ = words.first(used);
  // Not std::sort: the file is mapped and may change meanwhile, and an order that changes leads std::sort out of bounds.
  auto before = [this](uint32_t left, uint32_t right) { return is_before(left, right); };
  std::make_heap(index_.begin(), index_.end(), before);
  std::sort_heap(index_.begin(), index_.end(), before);
}

std::string_view ElfSymbols::find(uint64_t address) const {
  auto after = std::upper_bound(index_.begin(), index_.end(), address,
                                [this](uint64_t value, uint32_t index) { return value < symbol(index).st_value; });
  // The nearest function may be one that lies inside the one that is meant.
  for (size_t step = 0; step < kNesting && after != index_.begin(); ++step) {
    Elf64_Sym candidate = symbol(*--after);
    uint64_t into = address - candidate.st_value;
    bool covers = candidate.st_size > 0 ? into < candidate.st_size : step == 0 && into < kUnsizedReach;
    if (covers) return name(candidate);
  }
  return {};
}

}  // namespace unfreed::report
