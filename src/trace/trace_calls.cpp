// What the tracer does with each system call: when it begins, and when it has returned.
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <vector>

#include "trace/stopped_thread.h"
#include "trace/trace_loop.h"

namespace unfreed::trace {

using ledger::FdOrigin;
using ledger::FdRecord;
using ledger::Kind;

namespace {

bool is_limit(long error) { return error == -EMFILE || error == -ENFILE || error == -ENOMEM; }

bool is_fd_event(Effect effect) {
  return effect != Effect::reaps && effect != Effect::reaps_info && effect != Effect::exits && effect != Effect::starts;
}

/// Of a child that is not traced: has it ended, or only stopped?
bool says_ended(const Caller& caller, const Call& call, const siginfo_t& info) {
  if (call.effect == Effect::reaps_info)
    return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
  int status = 0;
  bool may_be_stopped = caller.registers.argument(2) & (WUNTRACED | WCONTINUED);
  if (!may_be_stopped || !read_value(caller.tid, caller.registers.argument(1), status)) return !may_be_stopped;
  return WIFEXITED(status) || WIFSIGNALED(status);
}

}  // namespace

/// A thread of a process that is attached to, which stops when each call begins and when it ends.
void TraceLoop::seen_at_call(int tid, Thread& thread) {
  if (thread.is_in_call) {
    thread.is_in_call = false;
    if (thread.wait.may_be_cut) go_on_waiting(tid, thread.wait);
    return returns_from_call(tid, thread);
  }
  __ptrace_syscall_info info{};
  if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
  thread.is_in_call = true;
  note_wait(thread.wait, info);
  if (info.arch == arch::kAuditArchitecture) begins_call(tid, thread, find_call(info));
}

void TraceLoop::begins_call(int tid, Thread& thread) {
  begins_call(tid, thread, static_cast<int>(event_message(tid) & 0xffff));
}

void TraceLoop::begins_call(int tid, Thread& thread, int index) {
  if (index < 0 || index >= static_cast<int>(calls().size()) || !thread.process->is_tracked ||
      thread.process->has_ended)
    return;
  const Call& call = calls()[static_cast<size_t>(index)];
  if (call.effect != Effect::closes && call.effect != Effect::closes_range && call.effect != Effect::exits) {
    thread.call = index;
    return;
  }
  arch::TracedRegisters registers;
  if (!read_registers(tid, registers)) return;
  Caller caller{tid, static_cast<uint16_t>(index), registers};
  if (call.effect == Effect::exits)
    end(*thread.process, tid, static_cast<int>(registers.argument(0) & 0xff));
  else if (call.effect == Effect::closes_range)
    close_range_begins(*thread.process, caller);
  else if (!close_begins(*thread.process, caller))
    thread.call = index;
}

/// False: it is not known to be open, so the result matters.
bool TraceLoop::close_begins(Process& process, const Caller& caller) {
  int fd = static_cast<int>(caller.registers.argument(0));
  process.parents_fds.erase(fd);
  bool has_ledger = process.ledger || process.files_of;
  TracedLedger* ledger = has_ledger ? files_ledger_of(process) : nullptr;
  if (!ledger) return true;
  if (!ledger->is_open(fd)) return false;
  ledger->closed(fd, caller);
  return true;
}

void TraceLoop::close_range_begins(Process& process, const Caller& caller) {
  constexpr uint64_t kCloexec = 1u << 2;
  if (caller.registers.argument(2) & kCloexec) return;
  auto first = static_cast<unsigned>(caller.registers.argument(0));
  auto last = static_cast<unsigned>(caller.registers.argument(1));
  std::erase_if(process.parents_fds, [&](const auto& one) {
    return static_cast<unsigned>(one.first) >= first && static_cast<unsigned>(one.first) <= last;
  });
  TracedLedger* ledger = process.ledger || process.files_of ? files_ledger_of(process) : nullptr;
  uint64_t count = ledger ? ledger->writer().section(ledger::SectionId::fds).count.load() : 0;
  for (uint64_t fd = first; fd < count && fd <= last; ++fd)
    if (ledger->is_open(static_cast<int>(fd))) ledger->closed(static_cast<int>(fd), caller);
}

void TraceLoop::returns_from_call(int tid, Thread& thread) {
  if (thread.call < 0) return;
  auto index = static_cast<size_t>(thread.call);
  thread.call = -1;
  Process& process = *thread.process;
  const Call& call = calls()[index];
  arch::TracedRegisters registers;
  if (process.has_ended || !read_registers(tid, registers)) return;
  Caller caller{tid, static_cast<uint16_t>(index), registers};
  long result = registers.result();
  if (call.effect == Effect::closes) {
    TracedLedger* ledger = result == -EBADF ? files_ledger_of(process) : nullptr;
    if (ledger) ledger->bad_close(static_cast<int>(registers.argument(0)), caller);
    return;
  }
  if (result < 0) {
    TracedLedger* ledger = is_limit(result) && is_fd_event(call.effect) ? files_ledger_of(process) : nullptr;
    if (ledger) ledger->failed(Kind::fd, static_cast<int>(-result), caller);
    return;
  }
  switch (call.effect) {
    case Effect::opens_pair:
      return pair_made(process, caller, call);
    case Effect::receives:
      return message_received(process, caller, registers.argument(static_cast<unsigned>(call.argument)));
    case Effect::receives_many:
      for (long at = 0; at < result; ++at)
        message_received(
            process, caller,
            registers.argument(static_cast<unsigned>(call.argument)) + static_cast<uintptr_t>(at) * sizeof(mmsghdr));
      return;
    case Effect::reaps:
    case Effect::reaps_info:
      return child_reaped(process, caller, call);
    case Effect::opens_unless_old:
      if (static_cast<int>(registers.argument(0)) == -1) fd_made(process, caller, call);
      return;
    case Effect::replaces:
      if (registers.argument(0) != registers.argument(1)) fd_made(process, caller, call);
      return;
    case Effect::starts:
      return child_made(process, caller);
    default:
      return fd_made(process, caller, call);
  }
}

void TraceLoop::fd_made(Process& process, const Caller& caller, const Call& call) {
  int fd = static_cast<int>(caller.registers.result());
  process.parents_fds.erase(fd);
  TracedLedger* ledger = files_ledger_of(process);
  FdRecord* record = ledger ? ledger->acquired(fd, caller) : nullptr;
  if (!record || call.argument < 0) return;
  uint64_t argument = caller.registers.argument(static_cast<unsigned>(call.argument));
  if (call.effect == Effect::opens_path) {
    ledger->set_path(*record, read_text(caller.tid, argument, PATH_MAX));
  } else if (call.effect == Effect::duplicates || call.effect == Effect::replaces) {
    ledger->set_same(*record, static_cast<int>(argument));
  } else if (call.effect == Effect::opens_peer && argument) {
    char address[sizeof ledger::FdTarget::value];
    uint32_t size = 0;
    if (!read_value(caller.tid, caller.registers.argument(static_cast<unsigned>(call.argument) + 1), size)) return;
    size = std::min<uint32_t>(size, sizeof address);
    if (base::copy_memory(caller.tid, argument, address, size) == static_cast<long>(size))
      ledger->set_peer(*record, {address, size});
  }
}

void TraceLoop::pair_made(Process& process, const Caller& caller, const Call& call) {
  int fds[2];
  if (!read_value(caller.tid, caller.registers.argument(static_cast<unsigned>(call.argument)), fds)) return;
  TracedLedger* ledger = files_ledger_of(process);
  for (int fd : fds) {
    process.parents_fds.erase(fd);
    if (ledger) ledger->acquired(fd, caller);
  }
}

void TraceLoop::message_received(Process& process, const Caller& caller, uintptr_t address) {
  msghdr header;
  if (!read_value(caller.tid, address, header) || !header.msg_control) return;
  constexpr size_t kMostControl = 64 * 1024;
  std::vector<char> control(std::min<size_t>(header.msg_controllen, kMostControl));
  long got =
      base::copy_memory(caller.tid, reinterpret_cast<uintptr_t>(header.msg_control), control.data(), control.size());
  TracedLedger* ledger = nullptr;
  for (size_t at = 0; got > 0 && at + sizeof(cmsghdr) <= static_cast<size_t>(got);) {
    cmsghdr part;
    std::memcpy(&part, control.data() + at, sizeof part);
    if (part.cmsg_len < sizeof part || part.cmsg_len > static_cast<size_t>(got) - at) break;
    constexpr int kPidfd = 4;  // SCM_PIDFD, Linux 6.5
    bool has_fds = part.cmsg_level == SOL_SOCKET && (part.cmsg_type == SCM_RIGHTS || part.cmsg_type == kPidfd);
    for (size_t in = CMSG_LEN(0); has_fds && in + sizeof(int) <= part.cmsg_len; in += sizeof(int)) {
      int fd;
      std::memcpy(&fd, control.data() + at + in, sizeof fd);
      if (fd < 0) continue;
      if (!ledger) ledger = files_ledger_of(process);
      process.parents_fds.erase(fd);
      if (ledger) ledger->acquired(fd, caller, FdOrigin::received);
    }
    at += CMSG_ALIGN(part.cmsg_len);
  }
}

void TraceLoop::child_reaped(Process& process, const Caller& caller, const Call& call) {
  auto pid = static_cast<int>(caller.registers.result());
  siginfo_t info{};
  if (call.effect == Effect::reaps_info) {
    bool is_only_looked_at = caller.registers.argument(3) & WNOWAIT;
    if (is_only_looked_at || !read_value(caller.tid, caller.registers.argument(2), info)) return;
    pid = info.si_pid;
  }
  // One that has stopped or goes on is still there. What has ended was seen to end before its parent could see it.
  if (pid <= 0 || find(pid) || !process.ledger) return;
  if (!is_attached_ || says_ended(caller, call, info)) process.ledger->child_reaped(pid);
}

/// By a process that is attached to, whose children are not traced: those that are, and threads, are known already.
void TraceLoop::child_made(Process& process, const Caller& caller) {
  auto pid = static_cast<int>(caller.registers.result());
  TracedLedger* ledger = pid > 0 && !threads_.contains(pid) ? ledger_of(process) : nullptr;
  if (ledger) ledger->child_started(pid, caller);
}

}  // namespace unfreed::trace
