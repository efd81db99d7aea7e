#include "track/timed_wait.h"

namespace unfreed::track {

thread_local constinit Wait t_wait{};

}  // namespace unfreed::track
