// One ELF file's debug information: finds the source frames that cover an address of the file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "symbolize/libdw.h"

namespace unfreed::symbolize {

/// What is known of one source-level frame; empty or 0 for what is not.
struct SourceFrame {
  std::string function;      ///< as a report shows it; DwarfModule leaves it as the debug information has it
  std::string full_name;     ///< demangled, where `function` says less
  std::string linkage_name;  ///< as in the symbol table
  std::string file;          ///< absolute where the debug information tells
  uint32_t line = 0;
  bool inlined = false;    ///< into the next frame
  std::string plain_name;  ///< see report::ResolvedFrame
  uint32_t function_line = 0;
  bool is_function_line = false;
  std::string around;  ///< of a lambda: the linkage name of the function that it stands in; function_line is that one's
  std::string_view symbol;
  uint64_t symbol_offset = 0;
};

/// Where to look for separate debug files, in elfutils' syntax: directories with ':' between them, relative ones beside
/// the binary.
inline constexpr char kDebugDirectories[] = ".debug:/usr/lib/debug";

class DwarfModule {
 public:
  /// Opens `path`. Its debug information, in the file or found by build ID or debug link, is read only as needed.
  /// `directories` as kDebugDirectories; `debug_file`: the one of this file, "" to look for it. nullptr: `error` is the
  /// reason.
  static std::unique_ptr<DwarfModule> open(const Libdw& libdw, const std::string& path, const std::string& directories,
                                           const std::string& debug_file, std::string& error);
  ~DwarfModule();
  DwarfModule(const DwarfModule&) = delete;
  DwarfModule& operator=(const DwarfModule&) = delete;

  /// The frames at `address` (the ELF file's own): innermost inlined one first, the physical function last. Empty when
  /// nothing is known. Not thread-safe. Damaged debug information yields less, in bounded time. `known_symbol`: the
  /// physical function's name by a symbol table; "" to look for it in all that libdw reads. A variable's frame has the
  /// place of its declaration, if `symbol_offset` says how far into it the address is.
  std::vector<SourceFrame> resolve(uint64_t address, std::string_view known_symbol, uint64_t symbol_offset = 0);

 private:
  struct Unit;
  struct Range {
    uint64_t low;
    uint64_t high;
    size_t unit;
  };

  struct Variable {
    uint64_t address;  ///< of a thread-local one: ledger::kThreadLocals and more
    uint64_t unit;
    Dwarf_Die die;
  };

  explicit DwarfModule(const Libdw& libdw);
  static int find_debug_file(Dwfl_Module* module, void** user_data, const char* name, Dwarf_Addr base, const char* file,
                             const char* link, GElf_Word checksum, char** found);
  template <class Visit>
  bool each_range(Dwarf_Die die, Visit visit) const;
  void read_units();
  Unit* find_unit(uint64_t address);
  /// A DIE whose functions are looked for: all that is in it has offsets below `end`.
  struct Scope {
    Dwarf_Die die;
    Dwarf_Off end;
    bool is_function;  ///< or lies in one
  };
  void read_functions(Unit& unit, const Scope& scope, int depth);
  void read_unit(Unit& unit);
  const Dwarf_Die* function_around(const Unit& unit, const Dwarf_Die& scope);
  void read_variables(const Dwarf_Die& parent, uint64_t unit, int depth);
  void enter_variable(Dwarf_Die& die, uint64_t unit);
  void find_declaration(uint64_t address, SourceFrame& frame);
  std::vector<Dwarf_Die> scopes_at(Unit& unit, uint64_t address);
  bool is_spent() { return work_left_ == 0 || --work_left_ == 0; }
  void name(const Unit& unit, const Dwarf_Die& scope, SourceFrame& frame);
  std::string linkage_name(Dwarf_Die die);
  uint32_t declared_line(const Dwarf_Die& scope, std::string_view file);
  std::string_view declaring_file(const Dwarf_Die& scope);
  bool is_wrapper(const Dwarf_Die& scope, const SourceFrame& frame);
  std::string file_of_call(Unit& unit, const Dwarf_Die& scope);
  std::string symbol_at(uint64_t address);

  const Libdw& libdw_;
  std::string directories_;
  char* directories_text_ = nullptr;
  std::string debug_file_;  ///< to be given to libdw; "" none
  Dwfl_Callbacks callbacks_ = {};
  Dwfl* session_ = nullptr;
  Dwfl_Module* module_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  uint64_t bias_ = 0;  ///< dwarf_'s addresses plus this are module_'s
  bool units_read_ = false;
  std::vector<std::unique_ptr<Unit>> units_;
  std::vector<Range> unit_ranges_;  ///< by low
  bool variables_read_ = false;
  std::vector<Variable> variables_;  ///< by address
  uint64_t work_left_ = 0;
};

}  // namespace unfreed::symbolize
