// POSIX message queues: on Linux a queue's handle is a descriptor, which close ends as well as mq_close.
#include <cstdarg>

#include "hook/real.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

namespace {
mqd_t queue_acquired(mqd_t queue, const char* name, Hook hook, const unwind::Registers& from) {
  return track::fd_acquired(queue, hook_number(hook), from, {{ledger::FdOwner::message_queue, nullptr}, name});
}
}  // namespace

UNFREED_HOOK mqd_t mq_open(const char* name, int flags, ...) noexcept {
  mode_t mode = 0;
  mq_attr* attributes = nullptr;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    attributes = va_arg(arguments, mq_attr*);
    va_end(arguments);
  }
  return queue_acquired(g_real.mq_open(name, flags, mode, attributes), name, Hook::mq_open, caller_registers());
}
UNFREED_HOOK mqd_t __mq_open_2(const char* name, int flags) noexcept {
  return queue_acquired(g_real.__mq_open_2(name, flags), name, Hook::__mq_open_2, caller_registers());
}
UNFREED_HOOK int mq_close(mqd_t queue) noexcept {
  return track::fd_closing(queue, {hook_number(Hook::mq_close), caller_registers()},
                           [&] { return g_real.mq_close(queue); });
}
