#include "trace/calls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "arch/traced_registers.h"

namespace unfreed::trace {

namespace {

struct Condition {
  long number;
  unsigned argument;
  uint32_t value;
};

// What is newer than the headers that this is built with has the same number on all processors.
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
// Calls that a processor does not have (newer ones have no open, fork …).
constexpr long kMissing = -1;
#ifndef SYS_open
#define SYS_open kMissing
#endif
#ifndef SYS_creat
#define SYS_creat kMissing
#endif
#ifndef SYS_pipe
#define SYS_pipe kMissing
#endif
#ifndef SYS_dup2
#define SYS_dup2 kMissing
#endif
#ifndef SYS_eventfd
#define SYS_eventfd kMissing
#endif
#ifndef SYS_epoll_create
#define SYS_epoll_create kMissing
#endif
#ifndef SYS_signalfd
#define SYS_signalfd kMissing
#endif
#ifndef SYS_inotify_init
#define SYS_inotify_init kMissing
#endif
#ifndef SYS_fork
#define SYS_fork kMissing
#endif
#ifndef SYS_vfork
#define SYS_vfork kMissing
#endif

constexpr Call kRows[] = {
#define CALL(name, effect, argument) {#name, SYS_##name, Effect::effect, argument},
#define ONLY_IF(name, argument, value)
#include "trace/calls.inc"
#undef CALL
#undef ONLY_IF
};
constexpr Condition kConditions[] = {
#define CALL(name, effect, argument)
#define ONLY_IF(name, argument, value) {SYS_##name, argument, value},
#include "trace/calls.inc"
#undef CALL
#undef ONLY_IF
};

std::vector<Call> present_rows() {
  std::vector<Call> rows;
  std::copy_if(std::begin(kRows), std::end(kRows), std::back_inserter(rows),
               [](const Call& row) { return row.number != kMissing; });
  return rows;
}

sock_filter statement(unsigned code, uint32_t value) { return BPF_STMT(static_cast<uint16_t>(code), value); }
sock_filter jump(uint32_t value, size_t if_equal, size_t if_not) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, static_cast<uint8_t>(if_equal), static_cast<uint8_t>(if_not));
}
sock_filter load(size_t offset) { return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }

/// What follows the comparison of the number: one block a row, which ends with a verdict.
std::vector<sock_filter> block_of(const Call& row, uint32_t index) {
  Conditions conditions = conditions_of(row);
  std::vector<sock_filter> block;
  if (!conditions.values.empty()) {
    // The lower half of the argument: these are ints. Processors with the upper half first are not supported.
    block.push_back(load(offsetof(seccomp_data, args) + 8 * conditions.argument));
    for (size_t at = 0; at < conditions.values.size(); ++at)
      block.push_back(jump(conditions.values[at], conditions.values.size() - at, 0));
    block.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  block.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_TRACE | index));
  return block;
}

}  // namespace

std::span<const Call> calls() {
  static const std::vector<Call> rows = present_rows();
  return rows;
}

int find_call(long number) {
  for (size_t index = 0; index < calls().size(); ++index)
    if (calls()[index].number == number) return static_cast<int>(index);
  return -1;
}

int find_call(const __ptrace_syscall_info& begun) {
  int index = find_call(static_cast<long>(begun.entry.nr));
  if (index < 0) return -1;
  Conditions conditions = conditions_of(calls()[static_cast<size_t>(index)]);
  auto value = static_cast<uint32_t>(begun.entry.args[conditions.argument]);
  bool is_met = std::find(conditions.values.begin(), conditions.values.end(), value) != conditions.values.end();
  return conditions.values.empty() || is_met ? index : -1;
}

Conditions conditions_of(const Call& call) {
  Conditions out;
  for (const Condition& one : kConditions) {
    if (one.number != call.number) continue;
    out.argument = one.argument;
    out.values.push_back(one.value);
  }
  return out;
}

std::string call_names() {
  std::string names;
  for (const Call& row : calls()) {
    if (!names.empty()) names += '\0';
    names += row.name;
  }
  return names;
}

std::vector<sock_filter> make_filter() {
  std::vector<sock_filter> filter{load(offsetof(seccomp_data, arch)), jump(arch::kAuditArchitecture, 1, 0),
                                  statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), load(offsetof(seccomp_data, nr))};
  for (size_t index = 0; index < calls().size(); ++index) {
    const Call& row = calls()[index];
    if (row.effect == Effect::starts) continue;
    std::vector<sock_filter> block = block_of(row, static_cast<uint32_t>(index));
    filter.push_back(jump(static_cast<uint32_t>(row.number), 0, block.size()));
    filter.insert(filter.end(), block.begin(), block.end());
  }
  filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

int install_filter(std::span<const sock_filter> filter) {
  sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  auto install = [&] { return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno; };
  // With privileges it works as it is, and set-uid programs keep theirs.
  int error = install();
  if (error != EACCES) return error;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return install();
}

}  // namespace unfreed::trace
