#include "elf/file.h"

#include <elf.h>

#include <algorithm>
#include <bit>

#include "elf/hash_tables.h"

namespace unfreed::elf {

namespace {

// More than any real file has.
constexpr uint32_t kMostSections = 1u << 20;
constexpr uint32_t kMostSegments = 4096;
constexpr uint64_t kMostEntries = 1u << 16;

struct Elf64 {
  using Ehdr = Elf64_Ehdr;
  using Phdr = Elf64_Phdr;
  using Shdr = Elf64_Shdr;
  using Sym = Elf64_Sym;
};
struct Elf32 {
  using Ehdr = Elf32_Ehdr;
  using Phdr = Elf32_Phdr;
  using Shdr = Elf32_Shdr;
  using Sym = Elf32_Sym;
};

/// What File::open takes from a file header.
struct Header {
  uint16_t machine, type, segment_count, segment_bytes, section_count, section_bytes, name_section;
  uint64_t segments, sections;
};

template <class Class>
bool read_header(const Bytes& bytes, Header& out) {
  typename Class::Ehdr header;
  if (!bytes.read(0, header)) return false;
  out = {header.e_machine,   header.e_type,     header.e_phnum, header.e_phentsize, header.e_shnum,
         header.e_shentsize, header.e_shstrndx, header.e_phoff, header.e_shoff};
  return true;
}

template <class Class>
bool read_segment(const Bytes& bytes, uint64_t offset, Segment& out) {
  typename Class::Phdr record;
  if (!bytes.read(offset, record)) return false;
  out = {record.p_type, record.p_flags, record.p_offset, record.p_vaddr, record.p_filesz, record.p_memsz};
  return true;
}

template <class Class>
bool read_section(const Bytes& bytes, uint64_t offset, Section& out) {
  typename Class::Shdr record;
  if (!bytes.read(offset, record)) return false;
  out = {record.sh_name, record.sh_type,   record.sh_link, record.sh_flags,
         record.sh_addr, record.sh_offset, record.sh_size};
  return true;
}

template <class Class>
bool read_symbol(const Bytes& bytes, uint64_t offset, Symbol& out) {
  typename Class::Sym record;
  if (!bytes.read(offset, record)) return false;
  out = {record.st_name, record.st_info, record.st_shndx, record.st_value, record.st_size};
  return true;
}

/// `index` records after `start`; false beyond all addresses.
bool place_of(uint64_t start, uint64_t index, uint64_t record_bytes, uint64_t& out) {
  return !__builtin_mul_overflow(index, record_bytes, &out) && !__builtin_add_overflow(start, out, &out);
}

}  // namespace

const char* File::open(const Bytes& bytes) {
  *this = File();
  bytes_ = &bytes;
  unsigned char identity[EI_NIDENT];
  if (!bytes.read(0, identity) || std::memcmp(identity, ELFMAG, SELFMAG) != 0) return "not an ELF file";
  constexpr unsigned char kNativeOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (identity[EI_DATA] != kNativeOrder) return "an ELF file of the other byte order";
  is_64_bit_ = identity[EI_CLASS] == ELFCLASS64;
  Header header;
  if (!(is_64_bit_ ? read_header<Elf64>(bytes, header) : read_header<Elf32>(bytes, header)))
    return "a damaged ELF file: cut short";
  machine_ = header.machine;
  type_ = header.type;
  uint16_t segment_bytes = is_64_bit_ ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
  if (header.segment_count > kMostSegments || (header.segment_count && header.segment_bytes != segment_bytes))
    return "a damaged ELF file: its program headers make no sense";
  segments_ = header.segments;
  segment_count_ = header.segment_count;
  if (!is_inside({segments_, uint64_t{segment_count_} * segment_bytes})) return "a damaged ELF file: cut short";

  uint16_t section_bytes = is_64_bit_ ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
  if (!header.sections || header.section_bytes != section_bytes) return nullptr;
  sections_ = header.sections;
  section_count_ = 1;
  Section first;
  if (!section(0, first)) {
    section_count_ = 0;  // a file that was cut behind what the loader needs
    return nullptr;
  }
  // Files with 65,280 sections or more keep the number in the first one.
  uint64_t count = header.section_count ? header.section_count : first.bytes;
  section_count_ =
      count <= kMostSections && is_inside({sections_, count * section_bytes}) ? static_cast<uint32_t>(count) : 0;
  name_section_ = header.name_section == SHN_XINDEX ? first.link : header.name_section;
  return nullptr;
}

bool File::segment(uint32_t index, Segment& out) const {
  uint64_t at = 0;
  if (index >= segment_count_ || !place_of(segments_, index, is_64_bit_ ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), at))
    return false;
  return is_64_bit_ ? read_segment<Elf64>(*bytes_, at, out) : read_segment<Elf32>(*bytes_, at, out);
}

bool File::find_segment(uint32_t type, Segment& out) const {
  for (uint32_t index = 0; index < segment_count_; ++index)
    if (segment(index, out) && out.type == type) return true;
  return false;
}

bool File::section(uint32_t index, Section& out) const {
  uint64_t at = 0;
  if (index >= section_count_ || !place_of(sections_, index, is_64_bit_ ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), at))
    return false;
  return is_64_bit_ ? read_section<Elf64>(*bytes_, at, out) : read_section<Elf32>(*bytes_, at, out);
}

bool File::find_section(std::string_view name, Section& out) const {
  Section names;
  if (!section(name_section_, names)) return false;
  for (uint32_t index = 0; index < section_count_; ++index)
    if (section(index, out) && out.type != SHT_NOBITS && is_text({names.offset, names.bytes}, out.name, name))
      return true;
  return false;
}

uint64_t File::symbol_bytes() const { return is_64_bit_ ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym); }

bool File::symbol(Range table, uint64_t index, Symbol& out) const {
  uint64_t at = 0, end = 0;
  if (!place_of(0, index, symbol_bytes(), at) || __builtin_add_overflow(at, symbol_bytes(), &end) || end > table.bytes)
    return false;
  if (__builtin_add_overflow(table.offset, at, &at)) return false;
  return is_64_bit_ ? read_symbol<Elf64>(*bytes_, at, out) : read_symbol<Elf32>(*bytes_, at, out);
}

std::string_view File::text(Range table, uint64_t at, std::span<char> out) const {
  if (!is_inside(table) || at >= table.bytes || out.empty()) return {};
  auto size = static_cast<size_t>(std::min<uint64_t>(table.bytes - at, out.size()));
  if (!bytes_->read(table.offset + at, out.data(), size)) return {};
  const void* end = std::memchr(out.data(), '\0', size);
  return {out.data(), end ? static_cast<size_t>(static_cast<const char*>(end) - out.data()) : size};
}

bool File::is_text(Range table, uint64_t at, std::string_view expected) const {
  char found[256];
  if (expected.size() >= sizeof found) return false;
  return text(table, at, std::span(found, expected.size() + 1)) == expected;
}

bool File::find_note_in(Range notes, std::string_view owner, uint32_t type, Range& value) const {
  if (!is_inside(notes)) return false;
  constexpr auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.bytes;) {
    Elf64_Nhdr note;  // the 32-bit one is the same
    if (!bytes_->read(notes.offset + at, note)) return false;
    uint64_t name = at + sizeof note;
    uint64_t body = name + padded(note.n_namesz);
    if (body > notes.bytes || note.n_descsz > notes.bytes - body) return false;
    // A name's size counts its NUL, and Go's the padding behind it.
    bool is_owner = note.n_namesz > owner.size() && is_text({notes.offset + name, note.n_namesz}, 0, owner);
    if (is_owner && note.n_type == type) {
      value = {notes.offset + body, note.n_descsz};
      return true;
    }
    at = body + padded(note.n_descsz);
  }
  return false;
}

bool File::find_note(std::string_view owner, uint32_t type, Range& value) const {
  Segment segment;
  for (uint32_t index = 0; index < segment_count_; ++index)
    if (this->segment(index, segment) && segment.type == PT_NOTE &&
        find_note_in({segment.offset, segment.file_bytes}, owner, type, value))
      return true;
  Section section;
  for (uint32_t index = 0; index < section_count_; ++index)
    if (this->section(index, section) && section.type == SHT_NOTE &&
        find_note_in({section.offset, section.bytes}, owner, type, value))
      return true;
  return false;
}

size_t File::build_id(std::span<char> out) const {
  Range value;
  if (!find_note("GNU", NT_GNU_BUILD_ID, value)) return 0;
  size_t bytes = std::min<size_t>(value.bytes, out.size());
  return bytes_->read(value.offset, out.data(), bytes) ? bytes : 0;
}

std::string_view File::debug_link(std::span<char> out) const {
  Section section;
  return find_section(".gnu_debuglink", section) ? text({section.offset, section.bytes}, 0, out) : std::string_view();
}

Dynamic::Dynamic(const File& file) : file_(file) {
  Segment segment;
  if (!file.find_segment(PT_DYNAMIC, segment)) return;
  entries_ = {segment.offset, segment.file_bytes};
  uint64_t names = 0, symbols = 0, gnu_hash = 0, sysv_hash = 0;
  Entry entry;
  for (uint64_t index = 0; entry_at(index, entry); ++index) {
    if (entry.tag == DT_STRTAB) names = entry.value;
    if (entry.tag == DT_STRSZ) names_.bytes = entry.value;
    if (entry.tag == DT_SYMTAB) symbols = entry.value;
    if (entry.tag == DT_GNU_HASH) gnu_hash = entry.value;
    if (entry.tag == DT_HASH) sysv_hash = entry.value;
    if (entry.tag == DT_SONAME) own_name_ = entry.value;
  }
  names_.offset = offset_of(names);
  symbols_.offset = offset_of(symbols);
  // How many symbols there are is said nowhere: the hash tables lead to those that exist.
  uint64_t size = file.bytes().size();
  if (symbols_.offset && symbols_.offset < size) symbols_.bytes = size - symbols_.offset;
  gnu_hash_ = gnu_hash ? offset_of(gnu_hash) : 0;
  sysv_hash_ = sysv_hash ? offset_of(sysv_hash) : 0;
}

bool Dynamic::entry_at(uint64_t index, Entry& out) const {
  uint64_t record_bytes = file_.is_64_bit() ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
  if (index >= kMostEntries || (index + 1) * record_bytes > entries_.bytes) return false;
  uint64_t at = 0;
  if (!place_of(entries_.offset, index, record_bytes, at)) return false;
  if (file_.is_64_bit()) {
    Elf64_Dyn record;
    if (!file_.bytes().read(at, record)) return false;
    out = {static_cast<uint64_t>(record.d_tag), record.d_un.d_val};
  } else {
    Elf32_Dyn record;
    if (!file_.bytes().read(at, record)) return false;
    out = {static_cast<uint64_t>(record.d_tag), record.d_un.d_val};
  }
  return out.tag != DT_NULL;
}

/// Where in the file the bytes lie that are loaded to `address`; 0: nowhere.
uint64_t Dynamic::offset_of(uint64_t address) const {
  Segment segment;
  for (uint32_t index = 0; index < file_.segment_count(); ++index) {
    if (!file_.segment(index, segment) || segment.type != PT_LOAD || address < segment.address) continue;
    uint64_t into = address - segment.address, offset = 0;
    if (into < segment.file_bytes && !__builtin_add_overflow(segment.offset, into, &offset)) return offset;
  }
  return 0;
}

bool Dynamic::is_export(uint64_t index, std::string_view name) const {
  Symbol symbol;
  return file_.symbol(symbols_, index, symbol) && symbol.section != SHN_UNDEF &&
         file_.is_text(names_, symbol.name, name);
}

bool Dynamic::exports(std::string_view name) const {
  uint64_t table = gnu_hash_ ? gnu_hash_ : sysv_hash_;
  if (!table || !symbols_.bytes) return false;
  auto word = [&](uint64_t at, uint32_t& out) {
    uint64_t place = 0;
    return !__builtin_add_overflow(table, at, &place) && file_.bytes().read(place, out);
  };
  auto is_it = [&](uint32_t index) { return is_export(index, name); };
  return gnu_hash_ ? find_by_gnu_hash(word, file_.is_64_bit() ? 64 : 32, gnu_hash(name), 0, is_it) != 0
                   : find_by_sysv_hash(word, name, 0, is_it) != 0;
}

}  // namespace unfreed::elf
