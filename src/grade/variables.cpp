#include "grade/variables.h"

#include <string_view>

#include "base/regular_file.h"
#include "base/syscall.h"
#include "elf/opened.h"
#include "track/modules.h"
#include "track/tracker.h"
#include "unwind/objects.h"

namespace unfreed::grade {

Variables::~Variables() {
  for (Module& module : std::span(modules_).first(count_)) {
    if (!module.file.empty()) base::unmap_memory(const_cast<std::byte*>(module.file.data()), module.file.size());
    if (!module.index.empty()) base::unmap_memory(module.index.data(), module.index.size_bytes());
  }
}

uintptr_t Variables::start_of(uintptr_t address) {
  Module* module = find(address);
  uint64_t into = 0;
  if (!module || module->symbols.find(address - module->bias, &into).empty()) return address;
  return address - into;
}

/// nullptr: it cannot be used.
Variables::Module* Variables::find(uintptr_t address) {
  for (Module& module : std::span(modules_).first(count_))
    if (address >= module.low && address < module.high) return module.is_usable ? &module : nullptr;
  unwind::Object object;
  if (count_ == kMostModules || !unwind::find_object(address, object)) return nullptr;
  Module& module = modules_[count_++];
  module.low = object.image.low;
  module.high = object.image.high;
  module.bias = object.bias;
  if (uint32_t number = track::module_number(object)) open(module, number);
  return module.is_usable ? &module : nullptr;
}

void Variables::open(Module& module, uint32_t number) const {
  const ledger::Writer& writer = track::g_tracker.writer;
  auto* record = writer.known<ledger::Module>(ledger::SectionId::modules, number);
  auto* path = record && record->path ? writer.known<char>(ledger::SectionId::strings, record->path) : nullptr;
  if (!path || *path != '/') return;
  module.file = base::map_regular_file(path, elf::kMostObjectBytes);
  if (module.file.empty() || !module.symbols.open(module.file)) return;
  std::string_view expected(reinterpret_cast<const char*>(record->build_id), record->build_id_bytes);
  size_t words = module.symbols.index_words();
  bool is_other = !expected.empty() && expected != module.symbols.build_id();
  if (is_other || words > most_symbols_) return;
  auto* memory = static_cast<uint32_t*>(base::map_memory(words * sizeof(uint32_t)));
  if (!memory) return;
  module.index = {memory, words};
  module.symbols.build_index(module.index);
  module.is_usable = true;
}

}  // namespace unfreed::grade
