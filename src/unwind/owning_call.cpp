#include "unwind/owning_call.h"

#include <cstddef>

// The linker's names for the beginning and the end of a section.
extern "C" [[gnu::visibility("hidden")]] const std::byte __start_unfreed_owning_call[];
extern "C" [[gnu::visibility("hidden")]] const std::byte __stop_unfreed_owning_call[];

namespace unfreed::unwind {

[[gnu::noinline, gnu::section("unfreed_owning_call")]] void call_owning(void (*call)(void*), void* context) {
  call(context);
  asm volatile("");  // a jump would leave no frame
}

bool is_owning_call(uintptr_t pc) {
  return pc > reinterpret_cast<uintptr_t>(__start_unfreed_owning_call) &&
         pc < reinterpret_cast<uintptr_t>(__stop_unfreed_owning_call);
}

}  // namespace unfreed::unwind
