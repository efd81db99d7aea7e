#include "names/symbol_table.h"

#include "base/regular_file.h"
#include "base/syscall.h"
#include "elf/opened.h"

namespace unfreed::report {

SymbolTable::~SymbolTable() {
  for (Entry& entry : entries_) close(entry);
}

FrameResolver SymbolTable::resolver() {
  return {this, [](void* context, const ledger::View& view, const ledger::Node& node, void* emit_context,
                   void (*emit)(void*, const ResolvedFrame&)) {
            static_cast<SymbolTable*>(context)->resolve(view, node, emit_context, emit);
          }};
}

void SymbolTable::resolve(const ledger::View& view, const ledger::Node& node, void* emit_context,
                          void (*emit)(void*, const ResolvedFrame&)) {
  uint32_t module = node.module & ledger::kNodeModuleMask;
  ElfSymbols* symbols = module == 0 ? nullptr : find(view, module);
  if (!symbols) return;
  ResolvedFrame frame;
  frame.linkage_name = symbols->find(lookup_offset(node), &frame.symbol_offset);
  frame.symbol = frame.linkage_name;
  if (frame.linkage_name.empty()) return;
  FunctionName known = name(frame.linkage_name);
  frame.function = known.shown;
  frame.full_name = known.full;
  if (!frame.function.empty()) emit(emit_context, frame);
}

FunctionName SymbolTable::name(std::string_view linkage_name) {
  FunctionName found;
  if (!is_mangled(linkage_name) || keeps_linked_names_) {
    std::string_view plain = without_clone_suffix(linkage_name);
    return {plain, plain};
  }
  if (known_names_.find(linkage_name, found)) return found;
  found = names_.of(linkage_name);
  known_names_.keep(linkage_name, found);
  return found;
}

ElfSymbols* SymbolTable::find(const ledger::View& view, uint32_t module) {
  for (Entry& entry : entries_)
    if (entry.module == module) return entry.usable ? &entry.symbols : nullptr;
  Entry& entry = entries_[next_];
  next_ = (next_ + 1) % kModules;
  close(entry);
  open(view, module, entry);
  return entry.usable ? &entry.symbols : nullptr;
}

void SymbolTable::open(const ledger::View& view, uint32_t module, Entry& entry) {
  entry.module = module;  // also when it cannot be opened: it is not tried again
  const ledger::Module* record = view.module(module);
  std::string_view path = record ? view.text(record->path) : std::string_view();
  // Not "[vdso]" and the like. Texts in a ledger end with a NUL.
  if (path.empty() || path.front() != '/') return;
  entry.file = base::map_regular_file(path.data(), elf::kMostObjectBytes);
  if (entry.file.empty() || !entry.symbols.open(entry.file)) return;
  // Another file by now (an upgrade under a running service) would give wrong names.
  std::string_view expected = view.build_id_bytes(*record);
  if (!expected.empty() && expected != entry.symbols.build_id()) return;
  size_t words = entry.symbols.index_words();
  auto* memory = static_cast<uint32_t*>(base::map_memory(words * sizeof(uint32_t)));
  if (!memory) return;
  entry.index = {memory, words};
  entry.symbols.build_index(entry.index);
  entry.usable = true;
}

void SymbolTable::close(Entry& entry) {
  if (entry.usable) known_names_.forget();
  if (!entry.file.empty()) base::unmap_memory(const_cast<std::byte*>(entry.file.data()), entry.file.size());
  if (!entry.index.empty()) base::unmap_memory(entry.index.data(), entry.index.size_bytes());
  entry = Entry();
}

}  // namespace unfreed::report
