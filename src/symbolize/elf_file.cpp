#include "symbolize/elf_file.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/regular_file.h"
#include "report/elf_symbols.h"

namespace unfreed::symbolize {

namespace {

// More than any real file has; what a forged header may make us allocate.
constexpr size_t kMostTableBytes = 256u << 20;
constexpr size_t kMostSections = 1u << 16;
constexpr size_t kMostSegments = 4096;

struct Elf64 {
  using Ehdr = Elf64_Ehdr;
  using Phdr = Elf64_Phdr;
  using Shdr = Elf64_Shdr;
  using Sym = Elf64_Sym;
  using Dyn = Elf64_Dyn;
};
struct Elf32 {
  using Ehdr = Elf32_Ehdr;
  using Phdr = Elf32_Phdr;
  using Shdr = Elf32_Shdr;
  using Sym = Elf32_Sym;
  using Dyn = Elf32_Dyn;
};

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

bool read_at(int file, uint64_t offset, void* out, size_t bytes) {
  char* to = static_cast<char*>(out);
  while (bytes) {
    ssize_t got = pread(file, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

/// `count` records at `offset`; empty where they do not lie wholly in the file.
template <class Record>
std::vector<Record> read_table(int file, uint64_t file_size, uint64_t offset, uint64_t count) {
  std::vector<Record> table;
  if (offset > file_size || count > kMostTableBytes / sizeof(Record)) return table;
  if (count * sizeof(Record) > file_size - offset) return table;
  table.resize(count);
  if (!read_at(file, offset, table.data(), count * sizeof(Record))) table.clear();
  return table;
}

/// The NUL-terminated text at `offset` of a string table; "" beyond it.
std::string_view text_at(const std::vector<char>& table, uint64_t offset) {
  if (offset >= table.size()) return {};
  const char* start = table.data() + offset;
  return {start, strnlen(start, table.size() - offset)};
}

/// The NT_GNU_BUILD_ID note's bytes in the contents of a note section or segment.
std::string find_build_id(const std::vector<char>& notes) {
  constexpr auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
  size_t at = 0;
  while (at + sizeof(Elf64_Nhdr) <= notes.size()) {
    Elf64_Nhdr note;  // the 32-bit one is the same
    std::memcpy(&note, notes.data() + at, sizeof note);
    uint64_t name_at = at + sizeof note;
    uint64_t body_at = name_at + padded(note.n_namesz);
    if (body_at > notes.size() || note.n_descsz > notes.size() - body_at) return {};
    bool is_gnu = note.n_namesz == 4 && std::memcmp(notes.data() + name_at, "GNU", 4) == 0;
    if (is_gnu && note.n_type == NT_GNU_BUILD_ID) return {notes.data() + body_at, note.n_descsz};
    at = body_at + padded(note.n_descsz);
  }
  return {};
}

}  // namespace

template <class Class>
std::optional<std::string> ElfFile::parse(int file, uint64_t size, Symbols wanted) {
  typename Class::Ehdr header;
  if (size < sizeof header || !read_at(file, 0, &header, sizeof header)) return "cut short";
  machine_ = header.e_machine;
  type_ = header.e_type;
  if (header.e_phnum > kMostSegments || (header.e_phnum && header.e_phentsize != sizeof(typename Class::Phdr)))
    return "its program headers make no sense";
  auto segments = read_table<typename Class::Phdr>(file, size, header.e_phoff, header.e_phnum);
  if (segments.size() != header.e_phnum) return "cut short";
  for (const auto& segment : segments) {
    if (segment.p_type == PT_DYNAMIC) is_dynamic_ = true;
    if (segment.p_type == PT_INTERP) {
      auto path = read_table<char>(file, size, segment.p_offset, std::min<uint64_t>(segment.p_filesz, 4096));
      interpreter_ = text_at(path, 0);
    }
    if (segment.p_type == PT_NOTE && build_id_.empty())
      build_id_ = find_build_id(read_table<char>(file, size, segment.p_offset, segment.p_filesz));
  }

  // Sections may have been stripped away: then there is nothing more to learn, which is no error.
  if (!header.e_shoff || header.e_shentsize != sizeof(typename Class::Shdr)) return {};
  auto first = read_table<typename Class::Shdr>(file, size, header.e_shoff, 1);
  if (first.empty()) return "cut short";
  uint64_t section_count = header.e_shnum ? header.e_shnum : first[0].sh_size;
  if (section_count > kMostSections) return "its section headers make no sense";
  auto sections = read_table<typename Class::Shdr>(file, size, header.e_shoff, section_count);
  if (sections.size() != section_count) return "cut short";
  uint32_t names_index = header.e_shstrndx == SHN_XINDEX ? first[0].sh_link : header.e_shstrndx;
  auto contents = [&](uint64_t index) -> std::vector<char> {
    if (index >= sections.size() || sections[index].sh_type == SHT_NOBITS) return {};
    return read_table<char>(file, size, sections[index].sh_offset, sections[index].sh_size);
  };

  std::vector<char> names = contents(names_index);
  for (size_t index = 0; index < sections.size(); ++index) {
    const auto& section = sections[index];
    std::string_view name = text_at(names, section.sh_name);
    if (section.sh_type != SHT_NOBITS) section_names_.emplace_back(name);
    if (section.sh_type == SHT_NOTE && build_id_.empty()) build_id_ = find_build_id(contents(index));
    if (name == ".gnu_debuglink") debug_link_ = text_at(contents(index), 0);
    if (wanted == Symbols::read && section.sh_type == SHT_DYNAMIC) {
      std::vector<char> strings = contents(section.sh_link);
      auto entries =
          read_table<typename Class::Dyn>(file, size, section.sh_offset, section.sh_size / sizeof(typename Class::Dyn));
      for (const auto& entry : entries)
        if (entry.d_tag == DT_NEEDED) needed_.emplace_back(text_at(strings, entry.d_un.d_val));
    }
    if (wanted == Symbols::read && (section.sh_type == SHT_DYNSYM || section.sh_type == SHT_SYMTAB)) {
      std::vector<char> strings = contents(section.sh_link);
      auto symbols =
          read_table<typename Class::Sym>(file, size, section.sh_offset, section.sh_size / sizeof(typename Class::Sym));
      for (const auto& symbol : symbols) {
        std::string_view symbol_name = text_at(strings, symbol.st_name);
        if (symbol.st_shndx != SHN_UNDEF && !symbol_name.empty())
          symbols_.push_back(
              {std::string(symbol_name.substr(0, symbol_name.find('@'))), section.sh_type == SHT_DYNSYM});
      }
    }
  }
  return {};
}

std::optional<ElfFile> ElfFile::read(const std::string& path, Symbols symbols, std::string& error) {
  base::RegularFile opened = base::open_regular_file(path.c_str(), report::kMostObjectBytes);
  if (opened.problem) {
    base::FixedText<64> why;
    base::add_problem(why, opened.problem);
    error = why.text();
    return {};
  }
  Descriptor file(static_cast<int>(opened.fd));
  unsigned char identity[EI_NIDENT];
  uint64_t size = opened.bytes;
  if (size < sizeof identity || !read_at(file.number(), 0, identity, sizeof identity) ||
      std::memcmp(identity, ELFMAG, SELFMAG) != 0) {
    error = "not an ELF file";
    return {};
  }
  constexpr unsigned char kNativeOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (identity[EI_DATA] != kNativeOrder) {
    error = "an ELF file of the other byte order";
    return {};
  }
  ElfFile elf;
  elf.is_64_bit_ = identity[EI_CLASS] == ELFCLASS64;
  std::optional<std::string> problem =
      elf.is_64_bit_ ? elf.parse<Elf64>(file.number(), size, symbols) : elf.parse<Elf32>(file.number(), size, symbols);
  if (problem) {
    error = "a damaged ELF file: " + *problem;
    return {};
  }
  return elf;
}

bool ElfFile::has_section(std::string_view name) const {
  return std::find(section_names_.begin(), section_names_.end(), name) != section_names_.end();
}

bool ElfFile::defines(std::string_view symbol) const {
  return std::any_of(symbols_.begin(), symbols_.end(), [&](const Symbol& one) { return one.name == symbol; });
}

bool ElfFile::exports(std::string_view symbol) const {
  return std::any_of(symbols_.begin(), symbols_.end(),
                     [&](const Symbol& one) { return one.dynamic && one.name == symbol; });
}

bool ElfFile::defines_prefix(std::string_view prefix) const {
  return std::any_of(symbols_.begin(), symbols_.end(), [&](const Symbol& one) { return one.name.starts_with(prefix); });
}

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace unfreed::symbolize
