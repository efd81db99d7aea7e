#include "unwind/call_target.h"

namespace unfreed::unwind {

uintptr_t call_target(uintptr_t) { return 0; }  // unknown: callers do without

}  // namespace unfreed::unwind
