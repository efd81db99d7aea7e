#include "names/elf_symbols.h"

#include <algorithm>
#include <cstring>

#include "ledger/layout.h"

namespace unfreed::report {

namespace {
constexpr uint64_t kMaxSymbols = 16u << 20;
/// A function written in assembler may have no size: it then reaches to the next one, but not for ever.
constexpr uint64_t kUnsizedReach = 4096;
/// How far back a function that contains others is looked for.
constexpr size_t kNesting = 16;
}  // namespace

std::span<const std::byte> ElfSymbols::part(elf::Range range) const {
  if (range.offset > file_.size() || range.bytes > file_.size() - range.offset) return {};
  return {file_.data() + range.offset, static_cast<size_t>(range.bytes)};
}

bool ElfSymbols::open(std::span<const std::byte> file) {
  *this = ElfSymbols();
  file_ = file;
  elf::Bytes bytes(file);
  elf::File elf;
  if (elf.open(bytes) || !elf.is_64_bit()) return false;
  elf::Range id;
  if (elf.find_note("GNU", NT_GNU_BUILD_ID, id)) {
    std::span<const std::byte> found = part(id);
    build_id_ = {reinterpret_cast<const char*>(found.data()), found.size()};
  }
  elf::Section section, table{}, strings;
  for (uint32_t index = 0; index < elf.section_count() && elf.section(index, section); ++index) {
    bool is_better = section.type == SHT_SYMTAB || (section.type == SHT_DYNSYM && table.type != SHT_SYMTAB);
    if (is_better) table = section;
  }
  if (table.type == SHT_NULL || !elf.section(table.link, strings) || strings.type != SHT_STRTAB) return false;
  symbols_ = part({table.offset, table.bytes});
  strings_ = part({strings.offset, strings.bytes});
  uint64_t count = symbols_.size() / sizeof(Elf64_Sym);
  count_ = static_cast<uint32_t>(count < kMaxSymbols ? count : kMaxSymbols);
  return count_ > 0;
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

bool ElfSymbols::is_named(const Elf64_Sym& symbol) const {
  int type = ELF64_ST_TYPE(symbol.st_info);
  bool is_variable = (type == STT_OBJECT || type == STT_TLS) && symbol.st_size > 0;
  if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE && !is_variable) return false;
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS) return false;
  if (symbol.st_value == 0 && type != STT_TLS) return false;
  std::string_view text = name(symbol);
  // "$x" and the like mark kinds of code on ARM; names in dots are local labels.
  return !text.empty() && text.front() != '$' && text.front() != '.';
}

uint64_t ElfSymbols::address(const Elf64_Sym& symbol) {
  return symbol.st_value + (ELF64_ST_TYPE(symbol.st_info) == STT_TLS ? ledger::kThreadLocals : 0);
}

/// By address; of several names for one address the best comes last, where find() meets it first.
bool ElfSymbols::is_before(uint32_t left, uint32_t right) const {
  Elf64_Sym a = symbol(left);
  Elf64_Sym b = symbol(right);
  if (address(a) != address(b)) return address(a) < address(b);
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
    if (is_named(symbol(index))) words[used++] = index;
  index_ = words.first(used);
  // Not std::sort: the file is mapped and may change meanwhile, and an order that changes leads std::sort out of
  // bounds.
  auto before = [this](uint32_t left, uint32_t right) { return is_before(left, right); };
  std::make_heap(index_.begin(), index_.end(), before);
  std::sort_heap(index_.begin(), index_.end(), before);
}

std::string_view ElfSymbols::find(uint64_t address, uint64_t* distance) const {
  auto after = std::upper_bound(index_.begin(), index_.end(), address, [this](uint64_t value, uint32_t index) {
    return value < ElfSymbols::address(symbol(index));
  });
  // The nearest function may be one that lies inside the one that is meant, and tables may lie among code.
  constexpr size_t kMostVariables = 64;
  size_t functions = 0;
  for (size_t variables = 0; functions < kNesting && variables < kMostVariables && after != index_.begin();) {
    Elf64_Sym candidate = symbol(*--after);
    uint64_t into = address - ElfSymbols::address(candidate);
    int type = ELF64_ST_TYPE(candidate.st_info);
    bool is_variable = type == STT_OBJECT || type == STT_TLS;
    size_t& step = is_variable ? variables : functions;
    bool covers = candidate.st_size > 0 ? into < candidate.st_size : step == 0 && into < kUnsizedReach;
    ++step;
    if (!covers) continue;
    if (distance) *distance = into;
    return name(candidate);
  }
  return {};
}

}  // namespace unfreed::report
