#include "unwind/moved_function.h"

namespace unfreed::unwind {

namespace {

bool is_part_of_libc(const char* object_name) {
  for (const char* part : {"libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"})
    if (is_same_text(object_name, part)) return true;
  return false;
}

}  // namespace

Definition find_in_libc(const SymbolName& name) {
  for (const link_map* map = _r_debug.r_map; map; map = next_searched(map)) {
    DynamicSymbols symbols(*map);
    if (!is_part_of_libc(symbols.object_name())) continue;
    if (auto* symbol = symbols.find_default(name)) return {map, symbol};
  }
  return {};
}

}  // namespace unfreed::unwind
