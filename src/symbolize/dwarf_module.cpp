#include "symbolize/dwarf_module.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <new>

#include "base/text.h"
#include "ledger/layout.h"
#include "names/code_owner.h"

namespace unfreed::symbolize {

namespace {

using base::base_name;

// Bounds for damaged files, whose trees may be endless: far beyond what compilers write, soon enough for people.
constexpr int kDeepestTree = 128;
constexpr uint64_t kMostWorkAtOnce = 20'000'000;  ///< DIEs visited for one address, the unit's index included
constexpr size_t kMostRangesOfOneDie = 1'000'000;

struct FunctionRange {
  uint64_t low;
  uint64_t high;
  Dwarf_Die die;
};

/// A function that lies in no other, and where the DIEs are that lie in it.
struct OuterFunction {
  Dwarf_Off start;
  Dwarf_Off end;
  Dwarf_Die die;
};

std::string absolute(std::string_view file, std::string_view directory) {
  std::filesystem::path path(file);
  if (path.is_relative() && !directory.empty()) path = std::filesystem::path(directory) / path;
  return path.lexically_normal().string();
}

// In clang [[noreturn]] is no part of the type, which is libdw's.
__attribute__((noreturn)) void out_of_memory() { throw std::bad_alloc(); }

}  // namespace

/// A compilation unit, its functions indexed when an address first falls into it.
struct DwarfModule::Unit {
  Dwarf_Die lines;      ///< the unit's DIE in this file: address ranges and line table
  Dwarf_Die functions;  ///< the one whose children the functions are: elsewhere for split DWARF
  std::string directory;
  bool functions_read = false;
  std::vector<FunctionRange> ranges;  ///< by low
  std::vector<OuterFunction> outer;   ///< by start, as they were read
};

DwarfModule::DwarfModule(const Libdw& libdw) : libdw_(libdw) {}

std::unique_ptr<DwarfModule> DwarfModule::open(const Libdw& libdw, const std::string& path,
                                               const std::string& directories, const std::string& debug_file,
                                               std::string& error) {
  std::unique_ptr<DwarfModule> module(new DwarfModule(libdw));
  module->directories_ = directories;
  module->directories_text_ = module->directories_.data();
  module->callbacks_.find_elf = nullptr;  // the file is given by name
  module->debug_file_ = debug_file;
  module->callbacks_.find_debuginfo = find_debug_file;
  module->callbacks_.section_address = libdw.dwfl_offline_section_address;
  module->callbacks_.debuginfo_path = &module->directories_text_;
  auto why = [&] {
    const char* message = libdw.dwfl_errmsg(-1);
    error = message ? message : "unknown error";
    return nullptr;
  };
  module->session_ = libdw.dwfl_begin(&module->callbacks_);
  if (!module->session_) return why();
  libdw.dwfl_report_begin(module->session_);
  // Base 0 plus the file's own addresses: an offset of the ledger is an address here.
  module->module_ = libdw.dwfl_report_elf(module->session_, path.c_str(), path.c_str(), -1, 0, true);
  libdw.dwfl_report_end(module->session_, nullptr, nullptr);
  if (!module->module_) return why();
  void** user_data = nullptr;
  libdw.dwfl_module_info(module->module_, &user_data, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  *user_data = module.get();
  Dwarf_Addr bias = 0;
  module->dwarf_ = libdw.dwfl_module_getdwarf(module->module_, &bias);
  module->bias_ = bias;
  // libdw would end this process when it has no memory.
  if (module->dwarf_) libdw.dwarf_new_oom_handler(module->dwarf_, out_of_memory);
  return module;
}

/// libdw's callback. It asks a second time where parts of the debug information are in a file that several share (dwz).
int DwarfModule::find_debug_file(Dwfl_Module* module, void** user_data, const char* name, Dwarf_Addr base,
                                 const char* file, const char* link, GElf_Word checksum, char** found) {
  auto& self = *static_cast<DwarfModule*>(*user_data);
  std::string known;
  known.swap(self.debug_file_);
  if (known.empty())
    return self.libdw_.dwfl_standard_find_debuginfo(module, user_data, name, base, file, link, checksum, found);
  int opened = ::open(known.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened >= 0) *found = strdup(known.c_str());
  return opened;
}

DwarfModule::~DwarfModule() {
  if (session_) libdw_.dwfl_end(session_);
}

/// Calls `visit(low, high)` for each range of addresses that is not empty. False: it has none at all.
template <class Visit>
bool DwarfModule::each_range(Dwarf_Die die, Visit visit) const {
  Dwarf_Addr base = 0, low = 0, high = 0;
  size_t count = 0;
  for (ptrdiff_t at = 0; (at = libdw_.dwarf_ranges(&die, at, &base, &low, &high)) > 0;) {
    if (++count > kMostRangesOfOneDie) break;
    if (low < high) visit(low, high);
  }
  return count > 0;
}

void DwarfModule::read_units() {
  units_read_ = true;
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  Dwarf_Die split;
  uint8_t type = 0;
  while (!is_spent() && libdw_.dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &die, &split) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton && type != DW_UT_partial) continue;
    auto one = std::make_unique<Unit>();
    one->lines = die;
    one->functions = type == DW_UT_skeleton && split.addr ? split : die;
    Dwarf_Attribute attribute;
    if (const char* directory = libdw_.dwarf_formstring(libdw_.dwarf_attr(&die, DW_AT_comp_dir, &attribute)))
      one->directory = directory;
    each_range(die, [&](Dwarf_Addr low, Dwarf_Addr high) { unit_ranges_.push_back({low, high, units_.size()}); });
    units_.push_back(std::move(one));
  }
  std::sort(unit_ranges_.begin(), unit_ranges_.end(), [](const Range& a, const Range& b) { return a.low < b.low; });
}

DwarfModule::Unit* DwarfModule::find_unit(uint64_t address) {
  if (!units_read_) read_units();
  auto after = std::upper_bound(unit_ranges_.begin(), unit_ranges_.end(), address,
                                [](uint64_t value, const Range& range) { return value < range.low; });
  // Units' ranges hardly ever overlap; where they do, look a little way back.
  for (int tries = 0; after != unit_ranges_.begin() && tries < 16; ++tries) {
    --after;
    if (address < after->high) return units_[after->unit].get();
  }
  return nullptr;
}

/// Enters every function below `scope` that has code. Functions are found in units, namespaces, types and other
/// functions (nested ones of C and Fortran, and what OpenMP outlines).
void DwarfModule::read_functions(Unit& unit, const Scope& scope, int depth) {
  if (depth > kDeepestTree) return;
  Dwarf_Die die, next;
  Dwarf_Die above = scope.die;
  if (libdw_.dwarf_child(&above, &die) != 0) return;
  for (bool more = true; more && !is_spent(); die = next) {
    more = libdw_.dwarf_siblingof(&die, &next) == 0;
    Scope one{die, more ? libdw_.dwarf_dieoffset(&next) : scope.end, scope.is_function};
    switch (libdw_.dwarf_tag(&die)) {
      case DW_TAG_subprogram: {
        if (!scope.is_function) unit.outer.push_back({libdw_.dwarf_dieoffset(&die), one.end, die});
        one.is_function = true;
        auto add = [&](Dwarf_Addr low, Dwarf_Addr high) { unit.ranges.push_back({low, high, die}); };
        if (each_range(die, add)) read_functions(unit, one, depth + 1);
        break;
      }
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
      case DW_TAG_lexical_block:
        read_functions(unit, one, depth + 1);
        break;
      default:
        break;
    }
  }
}

void DwarfModule::read_unit(Unit& unit) {
  if (unit.functions_read) return;
  unit.functions_read = true;
  read_functions(unit, {unit.functions, UINT64_MAX, false}, 0);
  std::sort(unit.ranges.begin(), unit.ranges.end(),
            [](const FunctionRange& a, const FunctionRange& b) { return a.low < b.low; });
}

/// The function that a lambda's own function stands in; nullptr: it is none, or stands in none. What is known of a
/// function begins where it is declared, in the lambda's class.
const Dwarf_Die* DwarfModule::function_around(const Unit& unit, const Dwarf_Die& scope) {
  Dwarf_Die die = scope;
  Dwarf_Attribute attribute;
  for (unsigned link : {DW_AT_abstract_origin, DW_AT_specification})
    if (Dwarf_Attribute* found = libdw_.dwarf_attr(&die, link, &attribute)) {
      Dwarf_Die other;
      if (!libdw_.dwarf_formref_die(found, &other)) return nullptr;
      die = other;
    }
  const char* name = libdw_.dwarf_formstring(libdw_.dwarf_attr(&die, DW_AT_name, &attribute));
  // The latter two, of gcc and clang, are the function that a lambda's conversion to a pointer returns.
  bool is_lambda = name && (std::string_view(name) == "operator()" || std::string_view(name) == "_FUN" ||
                            std::string_view(name) == "__invoke");
  Dwarf_Die top = unit.functions;
  if (!is_lambda || die.cu != top.cu) return nullptr;
  Dwarf_Off offset = libdw_.dwarf_dieoffset(&die);
  auto after = std::upper_bound(unit.outer.begin(), unit.outer.end(), offset,
                                [](Dwarf_Off value, const OuterFunction& outer) { return value < outer.start; });
  if (after == unit.outer.begin()) return nullptr;
  const OuterFunction& outer = after[-1];
  return offset > outer.start && offset < outer.end ? &outer.die : nullptr;
}

/// Enters every variable below `parent` that has an address of its own, also those of functions (static ones).
void DwarfModule::read_variables(const Dwarf_Die& parent, uint64_t unit, int depth) {
  if (depth > kDeepestTree) return;
  Dwarf_Die die;
  Dwarf_Die above = parent;
  if (libdw_.dwarf_child(&above, &die) != 0) return;
  do {
    if (is_spent()) return;
    switch (libdw_.dwarf_tag(&die)) {
      case DW_TAG_variable:
        enter_variable(die, unit);
        break;
      case DW_TAG_subprogram:
      case DW_TAG_lexical_block:
      case DW_TAG_inlined_subroutine:
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_common_block:
        read_variables(die, unit, depth + 1);
        break;
      default:
        break;
    }
  } while (libdw_.dwarf_siblingof(&die, &die) == 0);
}

void DwarfModule::enter_variable(Dwarf_Die& die, uint64_t unit) {
  Dwarf_Attribute attribute;
  Dwarf_Op* operations = nullptr;
  size_t count = 0;
  if (!libdw_.dwarf_attr(&die, DW_AT_location, &attribute) ||
      libdw_.dwarf_getlocation(&attribute, &operations, &count) != 0 || count == 0)
    return;
  Dwarf_Addr address = operations[0].number;
  bool is_thread_local =
      count == 2 && (operations[1].atom == DW_OP_GNU_push_tls_address || operations[1].atom == DW_OP_form_tls_address);
  switch (operations[0].atom) {
    case DW_OP_addr:
      break;
    case DW_OP_const4u:
    case DW_OP_const8u:
      if (!is_thread_local) return;
      break;
    case DW_OP_addrx:
    case DW_OP_GNU_addr_index:
    case DW_OP_constx:
    case DW_OP_GNU_const_index: {
      Dwarf_Attribute indexed;
      if (libdw_.dwarf_getlocation_attr(&attribute, operations, &indexed) != 0 ||
          libdw_.dwarf_formaddr(&indexed, &address) != 0)
        return;
      break;
    }
    default:
      return;
  }
  if (count == 1 || is_thread_local)
    variables_.push_back({address + (is_thread_local ? ledger::kThreadLocals : 0), unit, die});
}

void DwarfModule::find_declaration(uint64_t address, SourceFrame& frame) {
  if (!variables_read_) {
    variables_read_ = true;
    for (size_t unit = 0; unit < units_.size(); ++unit) read_variables(units_[unit]->functions, unit, 0);
    std::stable_sort(variables_.begin(), variables_.end(),
                     [](const Variable& a, const Variable& b) { return a.address < b.address; });
  }
  auto found = std::lower_bound(variables_.begin(), variables_.end(), address,
                                [](const Variable& variable, uint64_t value) { return variable.address < value; });
  if (found == variables_.end() || found->address != address) return;
  std::string_view file = declaring_file(found->die);
  Dwarf_Attribute attribute;
  Dwarf_Word line = 0;
  if (file.empty() ||
      libdw_.dwarf_formudata(libdw_.dwarf_attr_integrate(&found->die, DW_AT_decl_line, &attribute), &line) != 0)
    return;
  frame.file = absolute(file, units_[found->unit]->directory);
  frame.line = line <= UINT32_MAX ? static_cast<uint32_t>(line) : 0;
}

/// The function around `address` and the inlined calls in it, outermost first.
std::vector<Dwarf_Die> DwarfModule::scopes_at(Unit& unit, uint64_t address) {
  read_unit(unit);
  std::vector<Dwarf_Die> scopes;
  auto after = std::upper_bound(unit.ranges.begin(), unit.ranges.end(), address,
                                [](uint64_t value, const FunctionRange& range) { return value < range.low; });
  const FunctionRange* found = nullptr;
  for (int tries = 0; after != unit.ranges.begin() && tries < 16 && !found; ++tries) {
    --after;
    if (address < after->high) found = &*after;
  }
  if (!found) return scopes;
  scopes.push_back(found->die);
  Dwarf_Die die = found->die;
  for (int depth = 0; depth < kDeepestTree; ++depth) {
    Dwarf_Die child;
    if (libdw_.dwarf_child(&die, &child) != 0) return scopes;
    bool inside = false;
    do {
      if (is_spent()) return scopes;
      int tag = libdw_.dwarf_tag(&child);
      if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block && tag != DW_TAG_try_block &&
          tag != DW_TAG_catch_block)
        continue;
      if (libdw_.dwarf_haspc(&child, address) != 1) continue;
      if (tag == DW_TAG_inlined_subroutine) scopes.push_back(child);
      die = child;
      inside = true;
      break;
    } while (libdw_.dwarf_siblingof(&child, &child) == 0);
    if (!inside) return scopes;
  }
  return scopes;
}

std::string DwarfModule::linkage_name(Dwarf_Die die) {
  Dwarf_Attribute attribute;
  // formstring(NULL) is NULL: attributes that are not there need no test of their own.
  for (unsigned wanted : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name}) {
    const char* found = libdw_.dwarf_formstring(libdw_.dwarf_attr_integrate(&die, wanted, &attribute));
    if (found && *found) return found;
  }
  return {};
}

/// Where a function begins, if that is in `file`: of a function whose body comes from an included file, a distance to
/// its first line would say where that file is included.
uint32_t DwarfModule::declared_line(const Dwarf_Die& scope, std::string_view file) {
  Dwarf_Die die = scope;
  Dwarf_Attribute attribute;
  Dwarf_Word line = 0;
  if (base_name(declaring_file(scope)) != base_name(file)) return 0;
  if (libdw_.dwarf_formudata(libdw_.dwarf_attr_integrate(&die, DW_AT_decl_line, &attribute), &line) != 0) return 0;
  return line <= UINT32_MAX ? static_cast<uint32_t>(line) : 0;
}

void DwarfModule::name(const Unit& unit, const Dwarf_Die& scope, SourceFrame& frame) {
  frame.linkage_name = linkage_name(scope);
  frame.function = frame.linkage_name;
  frame.plain_name = frame.linkage_name;
  const Dwarf_Die* around = function_around(unit, scope);
  for (int depth = 0; around && depth < kDeepestTree; ++depth) {
    const Dwarf_Die* further = function_around(unit, *around);  // of a lambda in a lambda
    if (!further) break;
    around = further;
  }
  if (around) frame.around = linkage_name(*around);
  frame.function_line = declared_line(around ? *around : scope, frame.file);
}

/// As the debug information has it; "" unknown. (libdw's own dwarf_decl_file() asserts what damaged files do not hold.)
std::string_view DwarfModule::declaring_file(const Dwarf_Die& scope) {
  Dwarf_Die die = scope;
  Dwarf_Attribute attribute;
  Dwarf_Word index = 0;
  if (libdw_.dwarf_formudata(libdw_.dwarf_attr_integrate(&die, DW_AT_decl_file, &attribute), &index) != 0) return {};
  // The number is one of the unit that has the attribute: another than the scope's after link-time optimization.
  Dwarf_Die unit;
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  if (libdw_.dwarf_cu_info(attribute.cu, nullptr, nullptr, &unit, nullptr, nullptr, nullptr, nullptr) != 0 ||
      libdw_.dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count)
    return {};
  const char* file = libdw_.dwarf_filesrc(files, index, nullptr, nullptr);
  return file ? file : std::string_view();
}

/// Headers' wrappers around library functions (those of _FORTIFY_SOURCE) are marked as not being code of their own: the
/// call stands where the wrapper was used. So is a lambda, which does have code.
bool DwarfModule::is_wrapper(const Dwarf_Die& scope, const SourceFrame& frame) {
  if (!report::is_library_source(frame.file)) return false;
  Dwarf_Die die = scope;
  Dwarf_Attribute attribute;
  return libdw_.dwarf_attr_integrate(&die, DW_AT_artificial, &attribute) != nullptr;
}

std::string DwarfModule::file_of_call(Unit& unit, const Dwarf_Die& scope) {
  Dwarf_Die die = scope;
  Dwarf_Attribute attribute;
  Dwarf_Word index = 0;
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  if (libdw_.dwarf_formudata(libdw_.dwarf_attr(&die, DW_AT_call_file, &attribute), &index) != 0) return {};
  if (libdw_.dwarf_getsrcfiles(&unit.functions, &files, &count) != 0 || index >= count) return {};
  const char* file = libdw_.dwarf_filesrc(files, index, nullptr, nullptr);
  return file ? absolute(file, unit.directory) : std::string();
}

std::string DwarfModule::symbol_at(uint64_t address) {
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* found = libdw_.dwfl_module_addrinfo(module_, address, &offset, &symbol, nullptr, nullptr, nullptr);
  // elfutils answers with the nearest symbol before the address, however far; believe it within the symbol's size.
  if (!found || (symbol.st_size && offset >= symbol.st_size)) return {};
  return found;
}

std::vector<SourceFrame> DwarfModule::resolve(uint64_t address, std::string_view known_symbol, uint64_t symbol_offset) {
  std::vector<SourceFrame> frames;
  work_left_ = kMostWorkAtOnce;
  // libdw goes through all symbols of the file for each address.
  std::string symbol = known_symbol.empty() ? symbol_at(address) : std::string(known_symbol);
  Unit* unit = dwarf_ && address >= bias_ ? find_unit(address - bias_) : nullptr;
  if (unit) {
    uint64_t place = address - bias_;
    std::vector<Dwarf_Die> scopes = scopes_at(*unit, place);
    SourceFrame frame;
    if (Dwarf_Line* line = libdw_.dwarf_getsrc_die(&unit->lines, place)) {
      const char* file = libdw_.dwarf_linesrc(line, nullptr, nullptr);
      int number = 0;
      if (file) frame.file = absolute(file, unit->directory);
      if (libdw_.dwarf_lineno(line, &number) == 0 && number > 0) frame.line = static_cast<uint32_t>(number);
    }
    // Innermost first: each inlined call's own name goes with the place known so far, and it says where it was called.
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
      bool inlined = scope + 1 != scopes.rend();
      if (!inlined || !frames.empty() || !is_wrapper(*scope, frame)) {
        name(*unit, *scope, frame);
        frame.inlined = inlined;
        frames.push_back(frame);
      }
      if (!inlined) break;
      Dwarf_Attribute attribute;
      Dwarf_Word line = 0;
      frame = {};
      frame.file = file_of_call(*unit, *scope);
      if (libdw_.dwarf_formudata(libdw_.dwarf_attr(&*scope, DW_AT_call_line, &attribute), &line) == 0)
        frame.line = line <= UINT32_MAX ? static_cast<uint32_t>(line) : 0;
    }
    if (frames.empty()) frames.push_back(frame);  // assembly: lines, no functions
  }
  if (symbol.empty()) return frames;
  bool has_code = !frames.empty();
  if (!has_code) frames.emplace_back();
  frames.back().linkage_name = symbol;
  uint64_t start = address - symbol_offset;
  bool is_thread_local = start >= ledger::kThreadLocals;
  if (!has_code && dwarf_ && (is_thread_local || start >= bias_))
    find_declaration(start - (is_thread_local ? 0 : bias_), frames.back());
  return frames;
}

}  // namespace unfreed::symbolize
