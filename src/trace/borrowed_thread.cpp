#include "trace/borrowed_thread.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/syscall.h"
#include "trace/interrupted_call.h"
#include "trace/process_files.h"
#include "trace/stopped_thread.h"

namespace unfreed::trace {

namespace {

constexpr int kCallStop = SIGTRAP | 0x80;
constexpr uint64_t kNoCall = ~uint64_t{0};
constexpr uint64_t kForEver = UINT64_MAX;
/// Takes no argument, and does nothing.
constexpr uint64_t kHarmless = SYS_getpid;

bool is_stop_by_tracer(int status) { return WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP; }
bool is_call_stop(int status) { return WIFSTOPPED(status) && WSTOPSIG(status) == kCallStop; }
bool is_end(int status) { return WIFEXITED(status) || WIFSIGNALED(status); }

/// Waits for a stop, or the end, of a traced thread, until then. (SIGCHLD waits where this is called from.)
bool wait_until(int tid, int& status, uint64_t end_ns) {
  constexpr uint64_t kMostPauseNs = 5'000'000;  // where another thread gets the signal
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  for (;;) {
    int found = waitpid(tid, &status, __WALL | WNOHANG);
    if (found == tid) return true;
    if (found < 0 && errno != EINTR) return false;
    uint64_t now = base::monotonic_ns();
    if (now >= end_ns) return false;
    timespec pause{0, static_cast<long>(std::min(end_ns - now, kMostPauseNs))};
    sigtimedwait(&children, nullptr, &pause);
  }
}
bool wait_for(int tid, int& status, uint64_t most_ns) {
  return wait_until(tid, status, base::monotonic_ns() + most_ns);
}

/// Kernel's own: the call is to begin anew (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK).
bool is_interrupted(const arch::TracedRegisters& registers) {
  long result = registers.result();
  return registers.call() >= 0 &&
         (result == -512 || result == -513 || result == -514 || result == -516 || result == -EINTR);
}

bool has_instruction(int tid, uintptr_t pc) {
  uint8_t bytes[2] = {};
  constexpr uint8_t kSyscall[2] = {0x0f, 0x05};
  return ThreadMemory(tid).read(pc - 2, bytes, sizeof bytes) == sizeof bytes && std::memcmp(bytes, kSyscall, 2) == 0;
}

long write_memory(int tid, uintptr_t to, const void* from, size_t bytes) {
  iovec local{const_cast<void*>(from), bytes}, remote{reinterpret_cast<void*>(to), bytes};
  return process_vm_writev(tid, &local, 1, &remote, 1, 0);
}

}  // namespace

void let_go(int tid, int status) {
  constexpr uint64_t kMostToStop = 2'000'000'000;
  if (status != kRuns && is_end(status)) return;
  // What is let go where it begins a call would be woken from it.
  while (status == kRuns || is_call_stop(status)) {
    ptrace(PTRACE_INTERRUPT, tid, 0, 0);
    if (status != kRuns) ptrace(PTRACE_CONT, tid, 0, 0);
    if (!wait_for(tid, status, kMostToStop) || is_end(status)) return;
  }
  int signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
  WaitBegun wait;
  go_on_waiting(tid, wait);
  ptrace(PTRACE_DETACH, tid, 0, signal);
}

bool let_go_late(int tid) {
  int status;
  int found = waitpid(tid, &status, __WALL | WNOHANG);
  if (found == tid) let_go(tid, status);
  return found != 0;
}

bool BorrowedThread::borrow(int tid, SafePoint& safe_point, int& error) {
  constexpr uint64_t kMostToStop = 500'000'000, kMostToCall = 200'000'000;
  sigreturn_ = safe_point.sigreturn();
  if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) != 0) {
    error = errno;
    let_go_late(tid);
    return false;
  }
  int status = kRuns, signal = 0;
  bool is_found = false;
  ptrace(PTRACE_INTERRUPT, tid, 0, 0);
  if (wait_for(tid, status, kMostToStop) && is_stop_by_tracer(status) && WSTOPSIG(status) == SIGTRAP) {
    arch::TracedRegisters registers;
    is_found = read_registers(tid, registers) && is_interrupted(registers) && has_instruction(tid, registers.pc()) &&
               safe_point.is_safe(tid, registers);
    is_before_call_ = false;
    WaitBegun wait;
    if (!is_found) go_on_waiting(tid, wait);
    for (uint64_t end = base::monotonic_ns() + kMostToCall; !is_found && base::monotonic_ns() < end;) {
      ptrace(PTRACE_SYSCALL, tid, 0, signal);
      signal = 0;
      uint64_t now = base::monotonic_ns();
      if (!wait_for(tid, status, now < end ? end - now : 0)) {
        status = kRuns;
        break;
      }
      if (is_end(status)) break;
      if (!is_call_stop(status)) {
        if (WIFSTOPPED(status) && status >> 16 == 0) signal = WSTOPSIG(status);
        continue;
      }
      __ptrace_syscall_info info{};
      bool is_entry =
          ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
      is_found = is_entry && read_registers(tid, registers) && has_instruction(tid, registers.pc()) &&
                 safe_point.is_safe(tid, registers);
      is_before_call_ = is_at_call_ = is_found;
    }
  }
  if (is_found) {
    tid_ = tid;
    if (keep()) return true;
    give_back();
    return false;
  }
  let_go(tid, status);
  return false;
}

bool BorrowedThread::keep() {
  if (!read_registers(tid_, registers_)) return false;
  constexpr size_t kMostBytes = 16 << 10;
  vectors_.resize(kMostBytes);
  iovec place{vectors_.data(), vectors_.size()};
  if (ptrace(PTRACE_GETREGSET, tid_, NT_X86_XSTATE, &place) != 0) return false;
  vectors_.resize(place.iov_len);
  uint64_t all = ~uint64_t{0};
  // A fault is not to have its handler taken away by the kernel, as it does where the signal is blocked.
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS}) all &= ~(uint64_t{1} << (fault - 1));
  bool is_kept = ptrace(PTRACE_GETSIGMASK, tid_, sizeof signals_, &signals_) == 0 &&
                 ptrace(PTRACE_SETSIGMASK, tid_, sizeof all, &all) == 0;
  if (!is_kept) {
    vectors_.clear();
    return false;
  }
  if (is_before_call_) {  // not made now
    arch::TracedRegisters none = registers_;
    none.raw.orig_rax = kHarmless;
    if (!set(none) || !finish_call_stop()) return false;
  }
  constexpr uint64_t kProtection = PROT_READ | PROT_WRITE, kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  uint64_t address = 0;
  if (!system_call(SYS_mmap, {0, kStackBytes + kDataBytes, kProtection, kFlags, kNoCall, 0}, address)) return false;
  memory_ = base::is_error(static_cast<long>(address)) ? 0 : address;
  return memory_ != 0 && prepare_return(sigreturn_) && park();
}

bool BorrowedThread::set(const arch::TracedRegisters& registers) const {
  iovec place{const_cast<user_regs_struct*>(&registers.raw), sizeof registers.raw};
  return ptrace(PTRACE_SETREGSET, tid_, NT_PRSTATUS, &place) == 0;
}

/// Lets the thread run to its next stop at a system call. False: it has ended, has come to a fault, or `is_late`.
bool BorrowedThread::run_to_stop(int& status, uint64_t end_ns, bool& is_late) {
  is_late = false;
  for (int signal = 0;;) {
    if (ptrace(PTRACE_SYSCALL, tid_, 0, signal) != 0) return false;
    signal = 0;
    bool is_there = wait_until(tid_, status, end_ns);
    is_late = !is_there && base::monotonic_ns() >= end_ns;
    if (is_late) return false;
    if (!is_there || is_end(status)) {
      tid_ = 0;
      return false;
    }
    if (is_call_stop(status)) return true;
    if (status >> 16 != 0) continue;
    // It cannot be held back, and stops the other threads; this one goes on, and stops when it is given back.
    if (WSTOPSIG(status) != SIGSTOP) return false;
    signal = SIGSTOP;
  }
}

/// From the stop before a call to the one behind it. The call is one that does not wait.
bool BorrowedThread::finish_call_stop() {
  int status;
  bool is_late;
  if (!run_to_stop(status, kForEver, is_late)) return false;
  is_at_call_ = false;
  return true;
}

/// Where the tracer may end: before rt_sigreturn.
bool BorrowedThread::park() {
  arch::TracedRegisters registers = registers_;
  registers.raw.rip = sigreturn_;
  registers.raw.rsp = top();
  registers.raw.orig_rax = kNoCall;
  int status;
  bool is_late;
  is_at_call_ = set(registers) && run_to_stop(status, kForEver, is_late);
  return is_at_call_;
}

/// The call that it was to make is not made.
bool BorrowedThread::leave_call_stop() {
  if (!is_at_call_) return true;
  arch::TracedRegisters none = registers_;
  none.raw.orig_rax = kHarmless;
  return set(none) && finish_call_stop();
}

/// Of one that waits for the kernel alone. There is no time limit: until it is over nothing can be put back.
bool BorrowedThread::system_call(long number, const uint64_t (&arguments)[6], uint64_t& result) {
  arch::TracedRegisters registers = registers_;
  registers.raw.rip = instruction();
  registers.raw.rax = static_cast<uint64_t>(number);
  registers.raw.orig_rax = kNoCall;
  registers.raw.rdi = arguments[0];
  registers.raw.rsi = arguments[1];
  registers.raw.rdx = arguments[2];
  registers.raw.r10 = arguments[3];
  registers.raw.r8 = arguments[4];
  registers.raw.r9 = arguments[5];
  int status;
  bool is_late;
  if (!leave_call_stop() || !set(registers) || !run_to_stop(status, kForEver, is_late) || !finish_call_stop() ||
      !read_registers(tid_, registers))
    return false;
  result = registers.raw.rax;
  return true;
}

uintptr_t BorrowedThread::place(const void* bytes, size_t size) {
  size_t aligned = (size + 15) & ~size_t{15};
  if (!memory_ || aligned > kDataBytes - used_) return 0;
  uintptr_t at = memory_ + kStackBytes + used_;
  if (write_memory(tid_, at, bytes, size) != static_cast<long>(size)) return 0;
  used_ += aligned;
  return at;
}

/// What the thread's stack begins with.
bool BorrowedThread::prepare_return(uintptr_t return_address) {
  ucontext_t frame{};
  const user_regs_struct raw = before_call().raw;
  constexpr uint64_t kHasVectors = 1, kHasStackSegment = 2, kStackSegmentIsValid = 4;  // UC_FP_XSTATE, UC_SIGCONTEXT_SS
  frame.uc_flags = kHasVectors | kHasStackSegment | kStackSegmentIsValid;
  constexpr int kNoMode = 0x7000;  // no mode of an alternate stack: the kernel leaves that as it is
  frame.uc_stack.ss_flags = kNoMode;
  auto put = [&](int place, uint64_t value) { frame.uc_mcontext.gregs[place] = static_cast<greg_t>(value); };
  for (auto [place, value] : {std::pair(REG_R8, raw.r8),
                              {REG_R9, raw.r9},
                              {REG_R10, raw.r10},
                              {REG_R11, raw.r11},
                              {REG_R12, raw.r12},
                              {REG_R13, raw.r13},
                              {REG_R14, raw.r14},
                              {REG_R15, raw.r15},
                              {REG_RDI, raw.rdi},
                              {REG_RSI, raw.rsi},
                              {REG_RBP, raw.rbp},
                              {REG_RBX, raw.rbx},
                              {REG_RDX, raw.rdx},
                              {REG_RAX, raw.rax},
                              {REG_RCX, raw.rcx},
                              {REG_RSP, raw.rsp},
                              {REG_RIP, raw.rip},
                              {REG_EFL, raw.eflags}})
    put(place, value);
  put(REG_CSGSFS, (raw.cs & 0xffff) | raw.ss << 48);
  std::memcpy(&frame.uc_sigmask, &signals_, sizeof signals_);
  // Without the kernel's mark on it, which would say that more than these follow: libc's function for a system call,
  // like any function, does not keep what newer processors have added.
  constexpr size_t kLegacyBytes = 512, kMarkAt = 464, kFrameBytes = 1024;
  std::byte legacy[kLegacyBytes] = {};
  std::memcpy(legacy, vectors_.data(), std::min(vectors_.size(), kMarkAt));
  frame.uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(top() + kFrameBytes);
  static_assert(offsetof(ucontext_t, uc_sigmask) + sizeof signals_ <= kFrameBytes);
  constexpr size_t kReadBytes = offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t);
  return write_memory(tid_, top() - sizeof return_address, &return_address, sizeof return_address) > 0 &&
         write_memory(tid_, top(), &frame, kReadBytes) == static_cast<long>(kReadBytes) &&
         write_memory(tid_, top() + kFrameBytes, legacy, kLegacyBytes) == static_cast<long>(kLegacyBytes);
}

bool BorrowedThread::is_back(const arch::TracedRegisters& registers, uintptr_t return_address) const {
  uintptr_t behind = return_address == sigreturn_ ? sigreturn_ + SafePoint::kSigreturnBytes : registers_.raw.rip;
  return registers.raw.rip == behind && registers.raw.rsp == top();
}

/// The thread finds back by itself. False: it has ended.
bool BorrowedThread::leave() {
  constexpr uint64_t kMostToStop = 1'000'000'000;
  int status = 0;
  ptrace(PTRACE_INTERRUPT, tid_, 0, 0);
  bool is_stopped = wait_for(tid_, status, kMostToStop), has_ended = is_stopped && is_end(status);
  // From here on it runs no code of its own before it has stopped once more. If the kernel does not let it stop now, it
  // goes on when this tracer ends.
  bool can_return = !has_ended && write_memory(tid_, top() - sizeof sigreturn_, &sigreturn_, sizeof sigreturn_) > 0;
  int signal = is_stopped && !has_ended && status >> 16 == 0 && !is_call_stop(status) ? WSTOPSIG(status) : 0;
  if (is_stopped && !has_ended) ptrace(PTRACE_DETACH, tid_, 0, signal);
  tid_ = 0;
  memory_ = used_ = 0;
  return can_return;
}

BorrowedThread::Outcome BorrowedThread::run_call(uintptr_t function, uint64_t first, uint64_t second,
                                                 const SafePoint* loader, uint64_t* result) {
  constexpr uint64_t kDirectionFlag = 0x400, kAlignmentFlag = 0x40000;
  uintptr_t return_address = result ? instruction() : sigreturn_;
  arch::TracedRegisters registers = registers_;
  registers.raw.rip = function;
  registers.raw.rsp = top() - sizeof return_address;
  registers.raw.rbp = 0;
  registers.raw.rax = 0;
  registers.raw.orig_rax = kNoCall;
  registers.raw.rdi = first;
  registers.raw.rsi = second;
  registers.raw.eflags &= ~(kDirectionFlag | kAlignmentFlag);
  if (!tid_ || !memory_ || !prepare_return(return_address) || !set(registers)) return Outcome::failed;
  const uint64_t end_ns = base::monotonic_ns() + kMostToCallNs;
  bool may_be_given_up = loader;
  // The call that the thread waits before is not made: its end comes first, already with the registers for the
  // function.
  for (bool is_entry = !std::exchange(is_at_call_, false);; is_entry = !is_entry) {
    int status;
    bool is_late;
    if (!run_to_stop(status, end_ns, is_late)) return is_late && leave() ? Outcome::left : Outcome::failed;
    if (!is_entry) continue;
    is_at_call_ = true;
    if (!read_registers(tid_, registers)) return Outcome::failed;
    bool is_done = is_back(registers, return_address);
    bool waits = registers.raw.orig_rax == SYS_futex && loader && loader->is_in_loader(registers.raw.rdi);
    if (is_done || (waits && may_be_given_up)) {
      if (result) *result = registers.raw.orig_rax;
      bool is_parked = is_done && return_address == sigreturn_;
      if (!is_parked && (!leave_call_stop() || !prepare_return(sigreturn_) || !park())) return Outcome::failed;
      return is_done ? Outcome::done : Outcome::given_up;
    }
    is_at_call_ = false;
    may_be_given_up = may_be_given_up && registers.raw.orig_rax == SYS_futex && !waits;
  }
}

BorrowedThread::Outcome BorrowedThread::call(uintptr_t function, uint64_t first, uint64_t second) {
  return run_call(function, first, second, nullptr, nullptr);
}

BorrowedThread::Outcome BorrowedThread::call_loader(uintptr_t function, uint64_t first, uint64_t second,
                                                    const SafePoint& safe_point) {
  return run_call(function, first, second, &safe_point, nullptr);
}

BorrowedThread::Outcome BorrowedThread::ask(uintptr_t function, uint64_t& result) {
  return run_call(function, 0, 0, nullptr, &result);
}

void BorrowedThread::keep_errno(uintptr_t location) {
  uint64_t place = 0;
  if (location && ask(location, place) == Outcome::done && ThreadMemory(tid_).read_value(place, errno_))
    errno_place_ = place;
}

arch::TracedRegisters BorrowedThread::before_call() const {
  arch::TracedRegisters registers = registers_;
  registers.raw.rip = instruction();
  registers.raw.rax = registers_.raw.orig_rax;
  registers.raw.orig_rax = kNoCall;
  return registers;
}

void BorrowedThread::give_back() {
  if (!tid_) return;
  leave_call_stop();
  uint64_t unused;
  if (memory_ && tid_) system_call(SYS_munmap, {memory_, kStackBytes + kDataBytes, 0, 0, 0, 0}, unused);
  memory_ = used_ = 0;
  if (!tid_) return;
  if (errno_place_) write_memory(tid_, errno_place_, &errno_, sizeof errno_);
  if (!vectors_.empty()) {
    iovec place{vectors_.data(), vectors_.size()};
    ptrace(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, &place);
    ptrace(PTRACE_SETSIGMASK, tid_, sizeof signals_, &signals_);
  }
  set(is_before_call_ ? before_call() : registers_);
  // The kernel looks at the result, and has the call begin anew, only where there may be a signal.
  let_go(tid_, kCallStop << 8 | 0x7f);
  tid_ = 0;
}

}  // namespace unfreed::trace
