#include "names/elf_symbols.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ledger/layout.h"

namespace unfreed::report {

namespace {
constexpr uint64_t kMaxSymbols = 16u << 20;
/// A function written in assembler may have no size: it then reaches to the next one, but not for ever.
constexpr uint64_t kUnsizedReach = 4096;
/// How far back a function that contains others is looked for.
constexpr size_t kNesting = 16;

constexpr size_t kSymbolsOfBucket = 8;
constexpr uint32_t kSorted = 1u << 31;  // of a bucket's start

bool is_indexed(const Elf64_Sym& symbol) {
  int type = ELF64_ST_TYPE(symbol.st_info);
  bool is_variable = (type == STT_OBJECT || type == STT_TLS) && symbol.st_size > 0;
  if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE && !is_variable) return false;
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS) return false;
  return symbol.st_value != 0 || type == STT_TLS;
}

/// "$x" and the like mark kinds of code on ARM; names in dots are local labels.
bool is_usual(std::string_view name) { return !name.empty() && name.front() != '$' && name.front() != '.'; }

uint64_t address_of(const Elf64_Sym& symbol) {
  return symbol.st_value + (ELF64_ST_TYPE(symbol.st_info) == STT_TLS ? ledger::kThreadLocals : 0);
}
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

/// By address; of several names for one address the best comes last, where find() meets it first.
bool ElfSymbols::is_before(uint32_t left, uint32_t right) const {
  Elf64_Sym a = symbol(left);
  Elf64_Sym b = symbol(right);
  if (address_of(a) != address_of(b)) return address_of(a) < address_of(b);
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

size_t ElfSymbols::bucket_count() const { return std::bit_ceil(count_ / kSymbolsOfBucket + 2) + 1; }

size_t ElfSymbols::bucket_of(uint64_t address) const {
  size_t last = starts_.size() - 2;
  if (address >= ledger::kThreadLocals) return last;
  return address < low_ ? 0 : static_cast<size_t>(std::min<uint64_t>((address - low_) >> shift_, last - 1));
}

// The file is mapped and may change meanwhile: what a second look finds in another bucket is left out.
void ElfSymbols::build_index(std::span<uint32_t> words) {
  starts_ = order_ = {};
  if (words.size() < index_words()) return;
  starts_ = words.first(bucket_count() + 1);
  order_ = words.subspan(starts_.size());
  std::fill(starts_.begin(), starts_.end(), 0);
  uint64_t low = UINT64_MAX, high = 0;
  for (uint32_t index = 0; index < count_; ++index) {
    Elf64_Sym one = symbol(index);
    if (!is_indexed(one) || address_of(one) >= ledger::kThreadLocals) continue;
    low = std::min<uint64_t>(low, one.st_value);
    high = std::max<uint64_t>(high, one.st_value);
  }
  low_ = std::min(low, high);
  auto range_bits = static_cast<unsigned>(std::bit_width(high - low_));
  auto bucket_bits = static_cast<unsigned>(std::bit_width(starts_.size() - 2) - 1);
  shift_ = range_bits > bucket_bits ? range_bits - bucket_bits : 0;

  // Each start counts its bucket first, then is the bucket's end, from which it goes down as the bucket is filled.
  for (uint32_t index = 0; index < count_; ++index)
    if (Elf64_Sym one = symbol(index); is_indexed(one)) ++starts_[bucket_of(address_of(one))];
  uint32_t end = 0;
  for (uint32_t& start : starts_) start = end += start;
  order_ = order_.first(std::min<size_t>(end, order_.size()));
  std::fill(order_.begin(), order_.end(), 0);
  for (uint32_t index = count_; index-- > 0;) {
    Elf64_Sym one = symbol(index);
    if (!is_indexed(one)) continue;
    uint32_t& start = starts_[bucket_of(address_of(one))];
    if (start > 0) order_[--start] = index;
  }
}

std::span<const uint32_t> ElfSymbols::sorted_bucket(size_t bucket) {
  size_t start = starts_[bucket] & ~kSorted, end = starts_[bucket + 1] & ~kSorted;
  if (start >= end) return {};
  std::span<uint32_t> all = order_.subspan(start, end - start);
  if (starts_[bucket] & kSorted) return all;
  // Not std::sort: an order that changes leads it out of bounds.
  auto before = [this](uint32_t left, uint32_t right) { return is_before(left, right); };
  std::make_heap(all.begin(), all.end(), before);
  std::sort_heap(all.begin(), all.end(), before);
  starts_[bucket] |= kSorted;
  return all;
}

std::string_view ElfSymbols::find(uint64_t address, uint64_t* distance) {
  if (order_.empty()) return {};
  size_t bucket = bucket_of(address);
  std::span<const uint32_t> symbols = sorted_bucket(bucket);
  auto after = std::upper_bound(symbols.begin(), symbols.end(), address,
                                [this](uint64_t value, uint32_t index) { return value < address_of(symbol(index)); });
  symbols = symbols.first(static_cast<size_t>(after - symbols.begin()));
  // The nearest function may be one that lies inside the one that is meant, and tables may lie among code.
  constexpr size_t kMostOthers = 64;
  for (size_t functions = 0, others = 0; functions < kNesting && others < kMostOthers;) {
    while (symbols.empty() && bucket > 0) symbols = sorted_bucket(--bucket);
    if (symbols.empty()) return {};
    Elf64_Sym candidate = symbol(symbols.back());
    symbols = symbols.first(symbols.size() - 1);
    std::string_view text = name(candidate);
    int type = ELF64_ST_TYPE(candidate.st_info);
    bool is_function = is_usual(text) && type != STT_OBJECT && type != STT_TLS;
    size_t& step = is_function ? functions : others;
    uint64_t into = address - address_of(candidate);
    bool covers = candidate.st_size > 0 ? into < candidate.st_size : step == 0 && into < kUnsizedReach;
    ++step;
    if (!covers || !is_usual(text)) continue;
    if (distance) *distance = into;
    return text;
  }
  return {};
}

}  // namespace unfreed::report
