// A real call that allocates as part of what it makes: a stream, a directory, a new thread. This frame on the stack,
// between libc's and the program's, identifies those allocations. Nothing else would: a thread-local flag would be
// wrong after a call that never returned (thread cancellation, an exception, longjmp), and in a callback of the
// program's.
#pragma once

#include <cstdint>
#include <type_traits>

namespace unfreed::unwind {

/// call(context), under a frame that is_owning_call() recognises.
void call_owning(void (*call)(void* context), void* context);

/// Is this return address that frame's?
bool is_owning_call(uintptr_t pc);

/// Returns what `call` returns.
template <class Call>
auto owning(Call call) {
  using Result = decltype(call());
  if constexpr (std::is_void_v<Result>) {
    call_owning([](void* context) { (*static_cast<Call*>(context))(); }, &call);
  } else {
    struct {
      Call& call;
      Result result;
    } work{call, {}};
    call_owning(
        [](void* context) {
          auto& the = *static_cast<decltype(work)*>(context);
          the.result = the.call();
        },
        &work);
    return work.result;
  }
}

}  // namespace unfreed::unwind
