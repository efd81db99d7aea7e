// What the tracer does with each system call: when it begins, and when it has returned.
#include <sys/ptrace.h>

#include "base/syscall.h"
#include "trace/stopped_thread.h"
#include "trace/trace_loop.h"

namespace unfreed::trace {

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
  Caller caller{static_cast<uint16_t>(index), registers, ThreadMemory(tid), base::monotonic_ns()};
  if (call.effect != Effect::exits && recorder_.is_runtimes(*thread.process, tid, registers)) return;
  if (call.effect == Effect::exits)
    end(*thread.process, tid, static_cast<int>(registers.argument(0) & 0xff));
  else if (call.effect == Effect::closes_range)
    recorder_.close_range_begins(*thread.process, caller);
  else if (!recorder_.close_begins(*thread.process, caller))
    thread.call = index;
}

void TraceLoop::returns_from_call(int tid, Thread& thread) {
  if (thread.call < 0) return;
  auto index = static_cast<size_t>(thread.call);
  thread.call = -1;
  TracedProcess& process = *thread.process;
  arch::TracedRegisters registers;
  if (process.has_ended || !read_registers(tid, registers)) return;
  Caller caller{static_cast<uint16_t>(index), registers, ThreadMemory(tid), base::monotonic_ns()};
  if (calls()[index].effect != Effect::starts && recorder_.is_runtimes(process, tid, registers))
    return recorder_.note_runtimes_call(process, caller);
  if (calls()[index].effect == Effect::starts && registers.result() >= 0) return child_made(process, caller);
  recorder_.call_returned(process, caller, is_attached_);
}

/// By a process that is attached to, whose children are not traced: those that are, and threads, are known already.
void TraceLoop::child_made(TracedProcess& process, const Caller& caller) {
  auto pid = static_cast<int>(caller.registers.result());
  TracedLedger* ledger = pid > 0 && !threads_.contains(pid) ? recorder_.ledger_of(process) : nullptr;
  if (ledger) ledger->child_started(pid, caller);
}

}  // namespace unfreed::trace
