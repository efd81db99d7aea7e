// POSIX and C11 threads. thrd_create calls an internal pthread_create, so each has a hook of its own.
#include "hook/real.h"
#include "track/threads.h"
#include "unwind/owning_call.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;
using unwind::owning;
using unwind::Registers;

namespace {

struct Attributes {
  size_t stack_bytes = 0;
  bool detached = false;
};

/// `given` may be null: the defaults then (a stack size of 0 stands for it).
Attributes read_attributes(const pthread_attr_t* given) {
  Attributes attributes;
  if (!given) return attributes;
  int state = PTHREAD_CREATE_JOINABLE;
  pthread_attr_getdetachstate(given, &state);
  attributes.stack_bytes = track::stack_bytes_of(*given);
  attributes.detached = state == PTHREAD_CREATE_DETACHED;
  return attributes;
}

int c11_error(int result) { return result == thrd_success ? 0 : result == thrd_nomem ? ENOMEM : EAGAIN; }

}  // namespace

UNFREED_HOOK int pthread_create(pthread_t* handle, const pthread_attr_t* given, void* (*routine)(void*),
                                void* argument) noexcept {
  Registers from = caller_registers();
  Attributes attributes = read_attributes(given);
  track::ThreadBirth birth = track::thread_creating({routine, nullptr, argument}, attributes.stack_bytes,
                                                    attributes.detached, hook_number(Hook::pthread_create), from);
  int error = owning([&] {  // the new thread's control block and dynamic TLS are part of the thread
    return birth.ticket ? g_real.pthread_create(handle, given, track::thread_main, birth.ticket)
                        : g_real.pthread_create(handle, given, routine, argument);
  });
  track::thread_created(birth, error, error ? pthread_t{} : *handle, hook_number(Hook::pthread_create), from);
  return error;
}

UNFREED_HOOK int thrd_create(thrd_t* handle, thrd_start_t routine, void* argument) {
  Registers from = caller_registers();
  track::ThreadBirth birth =
      track::thread_creating({nullptr, routine, argument}, 0, false, hook_number(Hook::thrd_create), from);
  int result = owning([&] {
    return birth.ticket ? g_real.thrd_create(handle, track::c11_thread_main, birth.ticket)
                        : g_real.thrd_create(handle, routine, argument);
  });
  track::thread_created(birth, c11_error(result), result == thrd_success ? *handle : thrd_t{},
                        hook_number(Hook::thrd_create), from);
  return result;
}

// The record is looked up before: a finished thread's handle may be another's right after.
UNFREED_HOOK int pthread_join(pthread_t handle, void** value) {
  uint64_t record = track::thread_lookup(handle);
  int error = g_real.pthread_join(handle, value);
  if (!error) track::thread_joined(record);
  return error;
}
UNFREED_HOOK int pthread_tryjoin_np(pthread_t handle, void** value) noexcept {
  uint64_t record = track::thread_lookup(handle);
  int error = g_real.pthread_tryjoin_np(handle, value);
  if (!error) track::thread_joined(record);
  return error;
}
UNFREED_HOOK int pthread_timedjoin_np(pthread_t handle, void** value, const timespec* until) {
  uint64_t record = track::thread_lookup(handle);
  int error = g_real.pthread_timedjoin_np(handle, value, until);
  if (!error) track::thread_joined(record);
  return error;
}
UNFREED_HOOK int pthread_clockjoin_np(pthread_t handle, void** value, clockid_t clock, const timespec* until) {
  uint64_t record = track::thread_lookup(handle);
  int error = g_real.pthread_clockjoin_np(handle, value, clock, until);
  if (!error) track::thread_joined(record);
  return error;
}
UNFREED_HOOK int thrd_join(thrd_t handle, int* value) {
  uint64_t record = track::thread_lookup(handle);
  int result = g_real.thrd_join(handle, value);
  if (result == thrd_success) track::thread_joined(record);
  return result;
}

UNFREED_HOOK int pthread_detach(pthread_t handle) noexcept {
  uint64_t record = track::thread_lookup(handle);
  int error = g_real.pthread_detach(handle);
  if (!error) track::thread_detached(record);
  return error;
}
UNFREED_HOOK int thrd_detach(thrd_t handle) {
  uint64_t record = track::thread_lookup(handle);
  int result = g_real.thrd_detach(handle);
  if (result == thrd_success) track::thread_detached(record);
  return result;
}
