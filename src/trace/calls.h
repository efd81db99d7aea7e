// The system calls that the tracer looks at (calls.inc), and the filter that makes the kernel stop at them alone.
#pragma once

#include <linux/filter.h>

#include <sys/ptrace.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unfreed::trace {

enum class Effect : uint8_t {
  opens,
  opens_path,
  opens_peer,
  opens_pair,
  opens_unless_old,
  duplicates,
  replaces,
  receives,
  receives_many,
  closes,
  closes_range,
  reaps,
  reaps_info,
  exits,
  starts,
};

struct Call {
  std::string_view name;
  long number;
  Effect effect;
  int argument;  ///< −1: none
};
/// Those that this processor has, by index: what the filter hands to the tracer, and ledger::Site::hook.
std::span<const Call> calls();
/// The index of a system call's row; −1 for none.
int find_call(long number);
/// That of a call that begins: −1 also if its arguments make nothing.
int find_call(const __ptrace_syscall_info& begun);
/// A row's call does so only if that argument has one of these values; no values: always.
struct Conditions {
  unsigned argument = 0;
  std::vector<uint32_t> values;
};
Conditions conditions_of(const Call& call);
/// All names, each NUL-terminated but the last, as ledger::Header::hook_names has them.
std::string call_names();

/// The program of a filter for seccomp(2): SECCOMP_RET_TRACE for those calls, with their index in the lower 16 bits;
/// all others, also those of another architecture, pass.
std::vector<sock_filter> make_filter();

/// Installs it in the calling thread, for good and for all that it will start. Sets no_new_privs if the kernel asks for
/// that. 0 or an errno. Async-signal-safe, allocation-free.
int install_filter(std::span<const sock_filter> filter);

}  // namespace unfreed::trace
