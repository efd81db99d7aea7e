// Registers of this kind of processor are not known well enough.
#include "trace/injection.h"

namespace unfreed::trace {

const bool kCanInject = false;

Injected inject(int, const std::string&, const std::vector<std::string>&, uint64_t) {
  Injected out;
  out.problem = "libraries can be loaded into running processes on x86-64 only";
  return out;
}
Injected take_out(int pid, uint64_t patience_ns) { return inject(pid, {}, {}, patience_ns); }

}  // namespace unfreed::trace
