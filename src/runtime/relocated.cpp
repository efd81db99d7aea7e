// What is done while the loader relocates this library.
#include "arch/machine.h"
#include "hook/own_calls.h"
#include "hook/real.h"
#include "runtime/first_constructor.h"
#include "runtime/runtime.h"

// The loader calls an indirect function's resolver while it relocates the object that refers to the function, after
// that object's other relocations. This one is there for the sake of that call: it comes before any code of the process
// has run (other libraries' resolvers apart), and before the loader binds the executable's references.
extern "C" {
using Nothing = void (*)();
[[gnu::used, gnu::visibility("hidden")]] Nothing unfreed_being_relocated() {
  if (!unfreed::arch::kResolvesAtOnce || unfreed::hook::can_call()) {
    unfreed::hook::bind_own_calls();
    unfreed::hook::resolve_real_functions();
    if (!unfreed::hook::is_loaded_late()) unfreed::runtime::run_first(unfreed::runtime::construct);
  }
  return [] {};
}
[[gnu::ifunc("unfreed_being_relocated")]] static void unfreed_relocated();
[[gnu::used]] Nothing volatile unfreed_reference_to_relocated = &unfreed_relocated;
}
