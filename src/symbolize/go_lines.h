// What Go's own runtime knows of its code: .gopclntab, which stays when a program is stripped. Functions, files, lines,
// and the calls that were inlined. Of Go 1.18 and newer; programs of older ones have nothing here.
//
//     header      how many functions and files there are, and where the other tables lie
//     names       texts
//     units       for each compilation unit, and each file in it, where its path lies in …
//     files       texts
//     values      lists of (change of a value, length of code): one for the lines of a function, one for its files, …
//     functions   sorted by address; each leads to a record with its name and its lists
//
// Inlined calls have a table of their own (go:func.*), which only the runtime's module data lead to.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "elf/file.h"
#include "symbolize/dwarf_module.h"

namespace unfreed::symbolize {

/// Not thread-safe. The file is not trusted: damaged tables have fewer frames, or none.
class GoLines {
 public:
  /// nullptr if `file` is no Go program, or its tables have a form that is not known.
  static std::unique_ptr<GoLines> open(const elf::File& file);

  /// The function at an address of the file, and how far into it that is; "" none. Valid as long as this.
  std::string_view find(uint64_t address, uint64_t* distance) const;
  /// Innermost inlined call first, the physical function last; empty if there is none.
  std::vector<SourceFrame> resolve(uint64_t address) const;

 private:
  struct Function {
    uint64_t record = 0;  ///< where it lies in table_
    uint64_t entry = 0;   ///< an address
    uint64_t end = 0;
  };
  struct Place {
    std::string_view file;
    uint32_t line = 0;
  };

  bool take_table(const elf::File& file, uint64_t address);
  bool read_header();
  bool find_text(const elf::File& file);
  bool is_text(uint64_t start, uint64_t entry_point) const;

  template <class Number>
  bool read(uint64_t at, Number& out) const;
  uint32_t word(uint64_t at) const;
  std::string_view text(uint64_t table, uint64_t at) const;
  bool find_function(uint64_t address, Function& out) const;
  std::string_view name_of(const Function& function) const;
  bool read_step(uint64_t& at, uint32_t& out) const;
  int32_t value_at(uint32_t list, const Function& function, uint64_t address) const;
  Place place_of(const Function& function, uint64_t address) const;
  uint64_t inlined_calls_of(const Function& function, uint32_t& list) const;

  bool has_inlined_calls() const;

  // Sizes and places in records of both forms.
  uint64_t call_bytes() const { return has_start_lines_ ? 16 : 20; }
  uint64_t name_at() const { return has_start_lines_ ? 4 : 12; }
  uint64_t parent_at() const { return has_start_lines_ ? 8 : 16; }
  uint64_t record_bytes() const { return has_start_lines_ ? 44 : 40; }

  std::vector<char> table_;       ///< the section
  uint64_t address_ = 0;          ///< its own
  bool has_start_lines_ = false;  ///< Go 1.20 and newer
  unsigned quantum_ = 1;
  uint64_t function_count_ = 0;
  uint64_t header_text_ = 0;
  uint64_t names_ = 0, units_ = 0, files_ = 0, values_ = 0, functions_ = 0;  ///< where the tables begin
  uint64_t text_ = 0;                                                        ///< address that functions' are less by
  std::vector<char> inlined_;                                                ///< from go:func.* on; empty: not found
};

}  // namespace unfreed::symbolize
