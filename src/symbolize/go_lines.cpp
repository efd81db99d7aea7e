#include "symbolize/go_lines.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace unfreed::symbolize {

namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;
constexpr uint64_t kWord = 8;

// How the table begins, by the first version that wrote it so.
constexpr uint32_t kGo118 = 0xfffffff0;
constexpr uint32_t kGo120 = 0xfffffff1;

// Of the runtime's `moduledata`, in words from its start.
constexpr uint64_t kLowestPc = 20;
constexpr uint64_t kText = 22;
// Where go:func.* is (`gofunc`): in Go 1.18, 1.20 and 1.27, as fields were added before it. Nothing says which one it
// is.
constexpr uint64_t kInlinedCalls[] = {38, 40, 43};

// Indexes that the compiler and the runtime agree on since Go 1.18 (internal/abi/symtab.go).
constexpr uint32_t kInlinedCallList = 2;
constexpr uint32_t kInlinedCallTable = 3;
constexpr int kMostInlined = 256;

bool read_section(const elf::File& file, const elf::Section& section, std::vector<char>& out) {
  if (section.type == SHT_NOBITS || section.bytes > kMostBytes || !file.is_inside({section.offset, section.bytes}))
    return false;
  out.resize(section.bytes);
  return file.bytes().read(section.offset, out.data(), out.size());
}

/// As Go's own traces show it: Log[...].Write for Log[go.shape.string].Write.
std::string without_type_arguments(std::string_view name) {
  size_t first = name.find('['), last = name.rfind(']');
  if (first == name.npos || last == name.npos || last < first) return std::string(name);
  return std::string(name.substr(0, first)) + "[...]" + std::string(name.substr(last + 1));
}

template <class Record>
Record record_at(const std::vector<char>& bytes, uint64_t at) {
  Record record;
  std::memcpy(&record, bytes.data() + at, sizeof record);
  return record;
}

/// Words of memory as they are once the loader has relocated the program, less its base.
class RelocatedWords {
 public:
  explicit RelocatedWords(const elf::File& file) : file_(file) {
    elf::Section section;
    std::vector<char> bytes;
    if (!file.find_section(".rela.dyn", section) && !file.find_section(".rela", section)) return;
    if (!read_section(file, section, bytes)) return;
    for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= bytes.size(); at += sizeof(Elf64_Rela)) {
      auto one = record_at<Elf64_Rela>(bytes, at);
      uint32_t type = ELF64_R_TYPE(one.r_info);
      bool is_relative = file.machine() == EM_X86_64 ? type == R_X86_64_RELATIVE : type == R_AARCH64_RELATIVE;
      if (is_relative) words_.push_back({one.r_offset, static_cast<uint64_t>(one.r_addend)});
    }
    std::sort(words_.begin(), words_.end(), [](const Word& one, const Word& other) { return one.at < other.at; });
  }

  uint64_t at(uint64_t address) const {
    auto found = std::lower_bound(words_.begin(), words_.end(), address,
                                  [](const Word& word, uint64_t value) { return word.at < value; });
    if (found != words_.end() && found->at == address) return found->value;
    uint64_t value = 0;
    elf::Segment segment;
    for (uint32_t index = 0; index < file_.segment_count(); ++index) {
      if (!file_.segment(index, segment) || segment.type != PT_LOAD || address < segment.address) continue;
      uint64_t distance = address - segment.address;
      if (distance + kWord <= segment.file_bytes && file_.bytes().read(segment.offset + distance, value)) return value;
    }
    return 0;
  }

  /// Calls `visit(address)` where this value stands, until it returns true, which is then returned.
  template <class Visit>
  bool any_with(uint64_t value, Visit visit) const {
    for (const Word& word : words_)
      if (word.value == value && visit(word.at)) return true;
    for (const char* name : {".go.module", ".noptrdata", ".data"}) {
      elf::Section section;
      std::vector<char> bytes;
      if (!file_.find_section(name, section) || !read_section(file_, section, bytes)) continue;
      for (uint64_t at = 0; at + kWord <= bytes.size(); at += kWord)
        if (record_at<uint64_t>(bytes, at) == value && visit(section.address + at)) return true;
    }
    return false;
  }

 private:
  struct Word {
    uint64_t at, value;
  };
  const elf::File& file_;
  std::vector<Word> words_;
};

/// The file's bytes from an address on, to the end of what is loaded with it.
std::vector<char> read_from(const elf::File& file, uint64_t address) {
  std::vector<char> bytes;
  elf::Section section;
  for (uint32_t index = 0; index < file.section_count(); ++index) {
    if (!file.section(index, section) || section.type == SHT_NOBITS || !(section.flags & SHF_ALLOC)) continue;
    if (address < section.address || address - section.address >= section.bytes) continue;
    section.offset += address - section.address;
    section.bytes -= address - section.address;
    if (!read_section(file, section, bytes)) bytes.clear();
    return bytes;
  }
  return bytes;
}

}  // namespace

template <class Number>
bool GoLines::read(uint64_t at, Number& out) const {
  if (at > table_.size() || table_.size() - at < sizeof out) return false;
  std::memcpy(&out, table_.data() + at, sizeof out);
  return true;
}

uint32_t GoLines::word(uint64_t at) const {
  uint32_t value = 0;
  read(at, value);
  return value;
}

std::string_view GoLines::text(uint64_t table, uint64_t at) const {
  if (at > UINT32_MAX || table + at >= table_.size()) return {};
  const char* start = table_.data() + table + at;
  size_t room = table_.size() - (table + at);
  size_t size = strnlen(start, room);
  return size == room ? std::string_view() : std::string_view(start, size);
}

std::unique_ptr<GoLines> GoLines::open(const elf::File& file) {
  std::unique_ptr<GoLines> lines(new GoLines);
  elf::Section section;
  if (!file.is_64_bit()) return nullptr;
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"})
    if (file.find_section(name, section))
      return read_section(file, section, lines->table_) && lines->take_table(file, section.address) ? std::move(lines)
                                                                                                    : nullptr;
  // C's linker has put it among other constants.
  bool is_go = file.has_section(".go.buildinfo") && file.find_section(".data.rel.ro", section);
  std::vector<char> constants;
  if (!is_go || !read_section(file, section, constants)) return nullptr;
  for (uint64_t at = 0; at + kWord <= constants.size(); at += kWord) {
    auto magic = record_at<uint32_t>(constants, at);
    if (magic != kGo118 && magic != kGo120) continue;
    lines->table_.assign(constants.begin() + static_cast<ptrdiff_t>(at), constants.end());
    if (lines->take_table(file, section.address + at)) return lines;
  }
  return nullptr;
}

bool GoLines::take_table(const elf::File& file, uint64_t address) {
  address_ = address;
  return read_header() && find_text(file);
}

bool GoLines::read_header() {
  struct Header {
    uint32_t magic;
    uint8_t zeros[2];
    uint8_t quantum;
    uint8_t pointer_bytes;
    uint64_t functions, files, text, names_at, units_at, files_at, values_at, functions_at;
  } header{};
  if (!read(0, header) || header.pointer_bytes != kWord) return false;
  if (header.magic != kGo118 && header.magic != kGo120) return false;
  for (uint64_t at : {header.names_at, header.units_at, header.files_at, header.values_at, header.functions_at})
    if (at >= table_.size()) return false;
  bool has_room = header.functions > 0 && header.functions < (table_.size() - header.functions_at) / 8;
  if (!has_room || (header.quantum != 1 && header.quantum != 2 && header.quantum != 4)) return false;
  has_start_lines_ = header.magic == kGo120;
  quantum_ = header.quantum;
  function_count_ = header.functions;
  header_text_ = header.text;
  names_ = header.names_at;
  units_ = header.units_at;
  files_ = header.files_at;
  values_ = header.values_at;
  functions_ = header.functions_at;
  return true;
}

/// Is this where Go's code begins? By where the program begins: in Go's own function if C has no part in it.
bool GoLines::is_text(uint64_t start, uint64_t entry_point) const {
  uint64_t offset = entry_point - start;
  if (entry_point < start || offset > UINT32_MAX) return false;
  for (uint64_t index = 0; index < function_count_; ++index)
    if (word(functions_ + 8 * index) == offset)
      return text(names_, word(functions_ + word(functions_ + 8 * index + 4) + 4)).starts_with("_rt0_");
  return false;
}

/// The runtime's module data say it, and are found as they begin with this table's address.
bool GoLines::find_text(const elf::File& file) {
  RelocatedWords words(file);
  uint64_t first = word(functions_);
  bool is_found = words.any_with(address_, [&](uint64_t at) {
    uint64_t text = words.at(at + kText * kWord);
    // The lowest address of code checks what was found.
    if (text == 0 || words.at(at + kLowestPc * kWord) != text + first) return false;
    text_ = text;
    for (uint64_t index : kInlinedCalls) {
      inlined_ = read_from(file, words.at(at + index * kWord));
      if (has_inlined_calls()) break;
      inlined_.clear();
    }
    return true;
  });
  if (is_found) return true;
  Elf64_Ehdr header{};
  elf::Section code;
  if (!file.bytes().read(0, header) || !file.find_section(".text", code)) return false;
  for (uint64_t start : {header_text_, code.address}) {
    if (start == 0 || !is_text(start, header.e_entry)) continue;
    text_ = start;
    return true;
  }
  return false;
}

/// Are those in inlined_ what the functions' records say of them?
bool GoLines::has_inlined_calls() const {
  constexpr int kEnough = 200;
  int seen = 0;
  for (uint64_t index = 0; index < function_count_ && seen < kEnough; ++index) {
    Function function;
    uint32_t list = 0;
    if (!find_function(text_ + word(functions_ + 8 * index), function)) continue;
    uint64_t call = inlined_calls_of(function, list);
    if (list == 0) continue;
    ++seen;
    if (call + call_bytes() > inlined_.size()) return false;
    auto name = record_at<uint32_t>(inlined_, call + name_at());
    char before = 1;
    bool is_name = !text(names_, name).empty() && name > 0 && read(names_ + name - 1, before) && before == '\0';
    if (!is_name || function.entry + record_at<uint32_t>(inlined_, call + parent_at()) >= function.end) return false;
  }
  return seen > 0;
}

bool GoLines::find_function(uint64_t address, Function& out) const {
  if (address < text_ || address - text_ > UINT32_MAX) return false;
  auto offset = static_cast<uint32_t>(address - text_);
  uint64_t low = 0, high = function_count_;  // the first one that begins behind it
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    if (word(functions_ + 8 * middle) <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0 || offset >= word(functions_ + 8 * low)) return false;
  out.entry = text_ + word(functions_ + 8 * (low - 1));
  out.end = text_ + word(functions_ + 8 * low);
  out.record = functions_ + word(functions_ + 8 * (low - 1) + 4);
  return out.record + record_bytes() <= table_.size();
}

std::string_view GoLines::name_of(const Function& function) const { return text(names_, word(function.record + 4)); }

std::string_view GoLines::find(uint64_t address, uint64_t* distance) const {
  Function function;
  if (!find_function(address, function)) return {};
  if (distance) *distance = address - function.entry;
  return name_of(function);
}

/// A number of seven bits in each byte, the lowest first.
bool GoLines::read_step(uint64_t& at, uint32_t& out) const {
  out = 0;
  for (unsigned shift = 0; shift < 32; shift += 7) {
    uint8_t byte;
    if (!read(at++, byte)) return false;
    out |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

/// -1 if the list has no value there.
int32_t GoLines::value_at(uint32_t list, const Function& function, uint64_t address) const {
  if (list == 0) return -1;
  uint64_t at = values_ + list;
  uint64_t pc = function.entry;
  uint32_t value = UINT32_MAX;
  for (bool is_first = true; pc < function.end; is_first = false) {
    uint32_t change, length;
    if (!read_step(at, change) || (change == 0 && !is_first) || !read_step(at, length) || length == 0) return -1;
    value += change & 1 ? ~(change >> 1) : change >> 1;
    pc += static_cast<uint64_t>(length) * quantum_;
    if (address < pc) return static_cast<int32_t>(value);
  }
  return -1;
}

GoLines::Place GoLines::place_of(const Function& function, uint64_t address) const {
  Place place;
  int32_t line = value_at(word(function.record + 24), function, address);
  int32_t file = value_at(word(function.record + 20), function, address);
  if (line > 0) place.line = static_cast<uint32_t>(line);
  uint64_t unit = word(function.record + 32);
  uint32_t at = UINT32_MAX;
  if (file >= 0 && read(units_ + 4 * (unit + static_cast<uint64_t>(file)), at)) place.file = text(files_, at);
  return place;
}

/// Where its calls that were inlined lie in inlined_, and the list that says which one an address belongs to (0: none).
uint64_t GoLines::inlined_calls_of(const Function& function, uint32_t& list) const {
  uint32_t lists = word(function.record + 28);
  uint8_t tables = 0;
  uint64_t behind = function.record + record_bytes();
  uint32_t at = UINT32_MAX;
  bool has_both = read(behind - 1, tables) && tables > kInlinedCallTable && lists > kInlinedCallList &&
                  lists < table_.size() && read(behind + 4 * (static_cast<uint64_t>(lists) + kInlinedCallTable), at) &&
                  at != UINT32_MAX;
  list = has_both ? word(behind + 4 * kInlinedCallList) : 0;
  return at;
}

std::vector<SourceFrame> GoLines::resolve(uint64_t address) const {
  std::vector<SourceFrame> frames;
  Function function;
  if (!find_function(address, function)) return frames;
  uint32_t list = 0;
  uint64_t table = inlined_calls_of(function, list);
  for (int depth = 0; depth < kMostInlined; ++depth) {
    Place place = place_of(function, address);
    SourceFrame frame;
    frame.file = place.file.starts_with('<') ? std::string_view() : place.file;  // "<autogenerated>"
    int32_t index = value_at(list, function, address);
    if (index >= 0 && inlined_.empty()) frame.file.clear();  // of a function that is not known
    frame.line = frame.file.empty() ? 0 : place.line;
    uint64_t call = table + call_bytes() * static_cast<uint64_t>(std::max(index, 0));
    bool is_inlined = index >= 0 && call + call_bytes() <= inlined_.size();
    uint32_t start_line = 0;
    if (is_inlined) {
      frame.linkage_name = text(names_, record_at<uint32_t>(inlined_, call + name_at()));
      if (has_start_lines_) start_line = record_at<uint32_t>(inlined_, call + 12);
      address = function.entry + record_at<uint32_t>(inlined_, call + parent_at());
      is_inlined = address < function.end;
    } else {
      frame.linkage_name = name_of(function);
      if (has_start_lines_) start_line = word(function.record + 36);
    }
    frame.function = frame.plain_name = without_type_arguments(frame.linkage_name);
    frame.inlined = is_inlined;
    if (!frame.file.empty()) frame.function_line = start_line;
    frames.push_back(std::move(frame));
    if (!is_inlined) break;
  }
  return frames;
}

}  // namespace unfreed::symbolize
