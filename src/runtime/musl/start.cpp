// The library's start and end in programs of musl. Its loader has neither indirect functions nor DF_1_INITFIRST, passes
// no arguments to constructors, and has no on_exit(). But it initialises preloaded libraries first, finalises them
// last, and runs no code before the constructors.
#include <err.h>
#include <stdio.h>
#include <unistd.h>

#include <cstdarg>

#include "base/syscall.h"
#include "hook/own_calls.h"
#include "hook/real.h"
#include "runtime/grading.h"
#include "runtime/libc_caches.h"
#include "runtime/runtime.h"
#include "unwind/dynamic_symbols.h"

namespace unfreed::runtime {

/// musl does not say what it keeps for itself.
void find_libc_caches() {}

namespace {

using Main = int (*)(int, char**, char**);

/// What the program's start code has handed to libc.
struct Start {
  Main main;
  int argc;
  char** argv;
};
constinit Start g_start{};

/// What exit() was called with: destructors are not told. (The last thread's pthread_exit() ends with 0.)
constinit int g_exit_status = 0;

}  // namespace

constinit uintptr_t g_sp_after_main = 0;

namespace {

int note_status(int argc, char** argv, char** environment) {
  g_exit_status = g_start.main(argc, argv, environment);
  g_sp_after_main = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  return g_exit_status;
}

/// libc's own function behind one of those below.
template <class Function>
Function* real(Function*, const unwind::SymbolName& name) {
  const link_map* own = unwind::own_link_map();
  unwind::Definition found = own ? unwind::find_default(name, unwind::next_searched(own)) : unwind::Definition{};
  return found ? reinterpret_cast<Function*>(found.address()) : nullptr;
}

[[gnu::constructor]] void begin() {
  hook::bind_own_calls();
  construct(g_start.argc, g_start.argv, environ);
}

[[gnu::destructor]] void end() {
  bool replaced = false;
  int status = finish(g_exit_status, replaced);
  if (!replaced) return;
  // As exit() does after the destructors. (A second exit() is undefined in musl.)
  fflush(stdin);
  fflush(nullptr);
  base::end_process(status);
}

}  // namespace

}  // namespace unfreed::runtime

using unfreed::runtime::g_exit_status;
using unfreed::runtime::g_start;
using unfreed::runtime::real;

extern "C" {
int __libc_start_main(unfreed::runtime::Main, int, char**, void (*)(), void (*)(), void (*)());

UNFREED_HOOK int __libc_start_main(unfreed::runtime::Main main, int argc, char** argv, void (*init)(), void (*fini)(),
                                   void (*loader_fini)()) {
  g_start = {main, argc, argv};
  return real(&__libc_start_main, "__libc_start_main")(unfreed::runtime::note_status, argc, argv, init, fini,
                                                       loader_fini);
}
UNFREED_HOOK void exit(int status) {
  g_exit_status = status;
  real(&exit, "exit")(status);
  __builtin_unreachable();
}
UNFREED_HOOK void verr(int status, const char* format, va_list list) {
  g_exit_status = status;
  real(&verr, "verr")(status, format, list);
  __builtin_unreachable();
}
UNFREED_HOOK void verrx(int status, const char* format, va_list list) {
  g_exit_status = status;
  real(&verrx, "verrx")(status, format, list);
  __builtin_unreachable();
}
UNFREED_HOOK void err(int status, const char* format, ...) {
  va_list list;
  va_start(list, format);
  verr(status, format, list);
}
UNFREED_HOOK void errx(int status, const char* format, ...) {
  va_list list;
  va_start(list, format);
  verrx(status, format, list);
}

/// libc's own sigaction(), by the name that glibc has for it.
[[gnu::visibility("hidden")]] int __sigaction(int number, const struct sigaction* action,
                                              struct sigaction* before) noexcept {
  return unfreed::hook::g_real.sigaction(number, action, before);
}

/// The demanglers are compiled for glibc.
[[gnu::visibility("hidden")]] int __sprintf_chk(char* out, int, size_t, const char* format, ...) {
  va_list list;
  va_start(list, format);
  int written = vsprintf(out, format, list);
  va_end(list);
  return written;
}
[[gnu::visibility("hidden")]] int __snprintf_chk(char* out, size_t bytes, int, size_t, const char* format, ...) {
  va_list list;
  va_start(list, format);
  int written = vsnprintf(out, bytes, format, list);
  va_end(list);
  return written;
}
}
