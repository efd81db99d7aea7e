// An ELF file of either class, read with bounds checks, no allocation and no library. A file is not trusted: a
// truncated or forged one yields less, or an error text. Both halves use it: the runtime before a program is
// started, the command to examine programs, and both to read symbol tables.
// Async-signal-safe; thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "elf/bytes.h"

namespace unfreed::elf {

/// Records of both classes in one form.
struct Segment {
  uint32_t type;  ///< PT_…
  uint32_t flags;
  uint64_t offset, address, file_bytes, memory_bytes;
};
struct Section {
  uint32_t name;  ///< in the table of section names
  uint32_t type;  ///< SHT_…
  uint32_t link;
  uint64_t flags, address, offset, bytes;
};
struct Symbol {
  uint32_t name;  ///< in the table of symbol names
  uint8_t info;
  uint16_t section;
  uint64_t value, bytes;
};
/// A piece of the file.
struct Range {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class File {
 public:
  /// nullptr, or what is wrong (static): "not an ELF file", "a damaged ELF file: …". `bytes` must outlive this.
  const char* open(const Bytes& bytes);

  bool is_64_bit() const { return is_64_bit_; }
  uint16_t machine() const { return machine_; }  ///< EM_…
  uint16_t type() const { return type_; }        ///< ET_…

  uint32_t segment_count() const { return segment_count_; }
  bool segment(uint32_t index, Segment& out) const;
  bool find_segment(uint32_t type, Segment& out) const;

  /// None if sections were stripped, which is not an error.
  uint32_t section_count() const { return section_count_; }
  bool section(uint32_t index, Section& out) const;
  /// One that has contents in the file.
  bool find_section(std::string_view name, Section& out) const;
  bool has_section(std::string_view name) const {
    Section unused;
    return find_section(name, unused);
  }
  bool has_debug_info() const { return has_section(".debug_info") || has_section(".zdebug_info"); }

  bool symbol(Range table, uint64_t index, Symbol& out) const;
  uint64_t symbol_bytes() const;

  /// The NUL-terminated text at `at` in a table of texts, cut to what `out` holds; "" beyond the table.
  std::string_view text(Range table, uint64_t at, std::span<char> out) const;
  bool is_text(Range table, uint64_t at, std::string_view expected) const;

  /// The value of the first note of that owner and type, in any segment or section of notes; false: there is none.
  bool find_note(std::string_view owner, uint32_t type, Range& value) const;
  /// NT_GNU_BUILD_ID's bytes into `out`; returns how many, 0 if there is none.
  size_t build_id(std::span<char> out) const;
  /// .gnu_debuglink's file name; "" if there is none.
  std::string_view debug_link(std::span<char> out) const;

  const Bytes& bytes() const { return *bytes_; }
  bool is_inside(Range range) const { return range.offset <= size() && range.bytes <= size() - range.offset; }

 private:
  uint64_t size() const { return bytes_->size(); }
  bool find_note_in(Range notes, std::string_view owner, uint32_t type, Range& value) const;

  const Bytes* bytes_ = nullptr;
  bool is_64_bit_ = false;
  uint16_t machine_ = 0;
  uint16_t type_ = 0;
  uint32_t segment_count_ = 0;
  uint32_t section_count_ = 0;
  uint32_t name_section_ = 0;
  uint64_t segments_ = 0;  ///< where they lie
  uint64_t sections_ = 0;
};

/// What the dynamic loader reads: the dynamic section and its tables, found through the segments alone.
class Dynamic {
 public:
  /// In a file without a dynamic section nothing is found.
  explicit Dynamic(const File& file);

  explicit operator bool() const { return entries_.bytes > 0; }
  /// Calls `visit(name)` for each library needed, until it returns true, which is then returned.
  template <class Visit>
  bool any_needed(Visit visit) const {
    char name[256];
    Entry entry;
    for (uint64_t index = 0; entry_at(index, entry); ++index)
      if (entry.tag == kNeeded && visit(file_.text(names_, entry.value, name))) return true;
    return false;
  }
  std::string_view own_name(std::span<char> out) const { return file_.text(names_, own_name_, out); }  ///< DT_SONAME

  /// Is a symbol of that name defined where other objects can see it?
  bool exports(std::string_view name) const;

 private:
  struct Entry {
    uint64_t tag, value;
  };
  static constexpr uint64_t kNeeded = 1;
  bool entry_at(uint64_t index, Entry& out) const;
  uint64_t offset_of(uint64_t address) const;
  bool is_export(uint64_t index, std::string_view name) const;

  const File& file_;
  Range entries_;
  Range names_;
  Range symbols_;
  uint64_t gnu_hash_ = 0;
  uint64_t sysv_hash_ = 0;
  uint64_t own_name_ = 0;
};

}  // namespace unfreed::elf
