#include "cli/shortened_maps.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "base/keep_errno.h"

namespace unfreed::cli {

bool fill_shortened_map(const siginfo_t& info) {
  if (info.si_signo != SIGBUS || info.si_code != BUS_ADRERR) return false;
  auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  uintptr_t page = reinterpret_cast<uintptr_t>(info.si_addr) / page_bytes * page_bytes;
  constexpr int kZeros = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return mmap(reinterpret_cast<void*>(page), page_bytes, PROT_READ | PROT_WRITE, kZeros, -1, 0) != MAP_FAILED;
}

void outlive_shortened_maps() {
  struct sigaction action {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int signal, siginfo_t* info, void*) {
    base::KeepErrno keep;
    if (fill_shortened_map(*info)) return;
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL;
    sigaction(signal, &plain, nullptr);  // and it happens again
  };
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace unfreed::cli
