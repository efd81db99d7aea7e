// The in-process frame resolver: functions' names from the symbol tables of the modules' own files. It has no lines and
// no inlined frames, which the command adds. The runtime uses it where the command is not installed.
//
//     SymbolTable symbols;                       // over a megabyte: not for a stack
//     input.resolver = symbols.resolver();
//
// Opens each module's file once, maps it and an index of its functions, and unmaps both when it is destroyed. Leaves no
// descriptor open. Allocation-free, async-signal-safe; thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "names/elf_symbols.h"
#include "names/frame_resolver.h"
#include "names/function_names.h"
#include "names/name_cache.h"

namespace unfreed::report {

class SymbolTable {
 public:
  SymbolTable() = default;
  ~SymbolTable();
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  /// Valid as long as this; for reports on one ledger only (modules are known by their index).
  FrameResolver resolver();

  /// Leaves C++'s and Rust's names as they are linked. Demangling uses a timer and its signal (bounded_call.h), which
  /// belong to the host in its own process.
  void keep_linked_names() { keeps_linked_names_ = true; }

 private:
  /// Modules kept at a time; when one more is needed, the one opened first is dropped.
  static constexpr size_t kModules = 64;

  struct Entry {
    uint32_t module = 0;  ///< index in the ledger; 0: the entry is free
    bool usable = false;
    std::span<const std::byte> file;
    std::span<uint32_t> index;
    ElfSymbols symbols;
  };

  ElfSymbols* find(const ledger::View& view, uint32_t module);
  static void open(const ledger::View& view, uint32_t module, Entry& entry);
  void close(Entry& entry);
  FunctionName name(std::string_view linkage_name);
  void resolve(const ledger::View& view, const ledger::Node& node, void* emit_context,
               void (*emit)(void* emit_context, const ResolvedFrame& frame));

  Entry entries_[kModules];
  FunctionNames names_;
  NameCache known_names_;
  bool keeps_linked_names_ = false;
  size_t next_ = 0;
};

}  // namespace unfreed::report
