// Names the frames of a stack: by symbol tables in the process itself (symbol_table.h), by libdw in
// the command (symbolize/symbolizer.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "ledger/view.h"

namespace unfreed::report {

/// One source-level frame; texts that are not known are empty.
struct ResolvedFrame {
  std::string_view function;      ///< as reports show it (function_names.h) where the resolver can
  std::string_view linkage_name;  ///< as in the symbol table; what signatures are made of
  std::string_view file;          ///< absolute where known
  uint32_t line = 0;              ///< 0 unknown
  bool inlined = false;           ///< inlined into the next frame of the same call
  std::string_view full_name;     ///< demangled, where `function` says less
  // What identifies a place (evaluate/places.h).
  std::string_view plain_name;    ///< by debug information: without template arguments and parameters
  uint32_t function_line = 0;     ///< where the function begins, in the same file; 0 unknown
  bool is_function_line = false;  ///< `line` is that one, too: the call's own is not known
  std::string_view symbol;        ///< as in the symbol table, with what compilers append to copies of a function
  uint64_t symbol_offset = 0;     ///< of the call, from where the symbol begins
};

/// Turns a node into its source-level frames: innermost inlined frame first, the physical function last (inlined =
/// false). Calls `emit` at least once, or never if nothing is known. Texts need to live only for the call.
struct FrameResolver {
  void* context = nullptr;
  void (*resolve)(void* context, const ledger::View& view, const ledger::Node& node, void* emit_context,
                  void (*emit)(void* emit_context, const ResolvedFrame& frame)) = nullptr;
};

/// The address to look up and to show, relative to the module: inside the calling instruction.
inline uint64_t lookup_offset(const ledger::Node& node) {
  // A return address may already belong to the next line, or to the next function.
  return (node.module & ledger::kNodeExactPc) || node.offset == 0 ? node.offset : node.offset - 1;
}

}  // namespace unfreed::report
