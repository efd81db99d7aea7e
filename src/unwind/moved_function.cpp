#include "unwind/moved_function.h"

#include "unwind/loader_list.h"

namespace unfreed::unwind {

namespace {

#ifdef __GLIBC__
bool is_part_of_libc(const link_map&, const char* object_name) {
  for (const char* part : {"libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"})
    if (is_same_text(object_name, part)) return true;
  return false;
}
#else
/// musl's is one library, the loader too, and has no name of its own.
bool is_part_of_libc(const link_map& map, const char*) {
  auto list = reinterpret_cast<uintptr_t>(&loader_list());
  Object object;
  return describe_object(map, 0, object) && object.image.low <= list && list < object.image.high;
}
#endif

}  // namespace

Definition find_in_libc(const SymbolName& name) {
  for (const link_map* map = loader_list().r_map; map; map = next_searched(map)) {
    DynamicSymbols symbols(*map);
    if (!is_part_of_libc(*map, symbols.object_name())) continue;
    if (auto* symbol = symbols.find_default(name)) return {map, symbol};
  }
  return {};
}

}  // namespace unfreed::unwind
