#include "runtime/child_process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "arch/clone.h"
#include "base/lock.h"
#include "base/syscall.h"
#include "ledger/layout.h"
#include "runtime/ancestry.h"
#include "track/own_child.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;

namespace {

/// In a child with a descriptor table of its own.
void close_range(long first, long last) {
#ifdef SYS_close_range
  if (first > last || raw_syscall(SYS_close_range, first, last, 0) == 0) return;
#endif
  rlimit limit{};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&limit));
  constexpr rlim_t kMost = 1 << 20;
  auto most = static_cast<long>(std::min(limit.rlim_cur, kMost)) - 1;
  for (long fd = first; fd <= std::min(last, most); ++fd) base::close_file(fd);
}

/// All but `kept` (−1: none).
void close_from_3(int kept = -1) {
  constexpr long kLast = INT32_MAX;
  close_range(3, kept >= 3 ? kept - 1 : kLast);
  if (kept >= 3) close_range(kept + 1, kLast);
}

/// In a copy: frees descriptors for what a report opens, even if the process has used up its own. It needs no stdin.
void make_room_for_descriptors(int kept) {
  close_from_3(kept);
  if (kept != 0) base::close_file(0);
  rlimit limit{};
  if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&limit)))) return;
  limit.rlim_cur = limit.rlim_max;
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, reinterpret_cast<long>(&limit), 0);
}

/// A program without open standard descriptors would find its own files under those numbers.
void fill_standard_descriptors(bool keeps_stderr) {
  if (!keeps_stderr) base::close_file(2);
  for (;;) {
    long fd = raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/dev/null"), O_RDWR, 0);
    if (fd > 2) base::close_file(fd);
    if (fd < 0 || fd > 2) return;
  }
}

/// The kernel's struct sigaction: all zero is SIG_DFL.
struct KernelAction {
  uint64_t words[4];
};

struct Start {
  const Program* program;
  long error;
};

int become_program(void* context) {
  auto* start = static_cast<Start*>(context);
  const Program& program = *start->program;
  KernelAction defaults{};
  for (long signal = 1; signal <= 64; ++signal)
    raw_syscall(SYS_rt_sigaction, signal, reinterpret_cast<long>(&defaults), 0, 8);
  raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  uint64_t none = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&none), 0, 8);
  close_from_3();
  fill_standard_descriptors(program.keeps_stderr);
  start->error = raw_syscall(SYS_execve, reinterpret_cast<long>(program.path),
                             reinterpret_cast<long>(program.arguments), reinterpret_cast<long>(program.environment));
  return 127;
}

// The stack where these are called may be a signal handler's, of 8 kilobytes.
constexpr size_t kStackBytes = 512 * 1024;

class OwnStack {
 public:
  OwnStack() : start_(static_cast<std::byte*>(base::map_memory(kStackBytes))) {}
  ~OwnStack() {
    if (start_) base::unmap_memory(start_, kStackBytes);
  }
  OwnStack(const OwnStack&) = delete;
  OwnStack& operator=(const OwnStack&) = delete;
  explicit operator bool() const { return start_; }
  std::span<std::byte> span() const { return {start_, kStackBytes}; }

 private:
  std::byte* start_;
};

constexpr int kLost = -1;
constexpr uint64_t kMillisecond = 1'000'000;

}  // namespace

long start_program(const Program& program) {
  if (!base::may_call_system()) return -EPERM;
  // Nothing of the program's may run in the child, which has its memory: signals wait until it has handlers of its own.
  base::SignalBlock block;
  // Where SIGCHLD is ignored the kernel reaps a child at once, and its status is lost.
  KernelAction defaults{};
  raw_syscall(SYS_rt_sigaction, SIGCHLD, reinterpret_cast<long>(&defaults), 0, 8);
  OwnStack stack;
  if (!stack) return -ENOMEM;
  Start start{&program, 0};
  long pid = arch::clone_onto_stack(CLONE_VM | CLONE_VFORK, stack.span(), nullptr, become_program, &start);
  if (is_error(pid) || !start.error) return pid;
  raw_syscall(SYS_wait4, pid, 0, __WALL, 0);  // it has ended
  return start.error;
}

namespace {
long clone_self(void* context, int kept, void (*body_before_closing)(void*), int (*body)(void*)) {
  if (!base::may_call_system()) return -EPERM;
  base::SignalBlock block;
  struct Work {
    void* context;
    int kept;
    void (*before_closing)(void*);
    int (*body)(void*);
  } work{context, kept, body_before_closing, body};
  OwnStack stack;
  if (!stack) return -ENOMEM;
  auto run = [](void* argument) {
    const Work& the = *static_cast<Work*>(argument);
    base::AloneInProcess alone;
    the.before_closing(the.context);
    make_room_for_descriptors(the.kept);
    return the.body(the.context);
  };
  track::g_own_child.collected.store(0, std::memory_order_relaxed);
  track::note_own_child(ledger::kCopyBeingMade);
  long pid = arch::clone_onto_stack(0, stack.span(), &track::g_own_child.pid, run, &work);
  if (!is_error(pid)) track::note_own_child(static_cast<int32_t>(pid));
  return pid;
}

}  // namespace

long start_copy(void* context, int kept, void (*body_before_closing)(void*), int (*body)(void*)) {
  long pid = clone_self(context, kept, body_before_closing, body);
  if (is_error(pid)) track::own_child_ended();
  return pid;
}

uint64_t sleep_ns(uint64_t nanoseconds) {
  timespec moment{static_cast<time_t>(nanoseconds / (1000 * kMillisecond)),
                  static_cast<long>(nanoseconds % (1000 * kMillisecond))};
  uint64_t before = base::monotonic_ns();
  if (is_error(raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0)))
    return std::min(nanoseconds, base::monotonic_ns() - before);
  return nanoseconds;
}

namespace {

enum class Look { runs, ended, lost };
Look look_at(long pid, int& status) {
  long result = raw_syscall(SYS_wait4, pid, reinterpret_cast<long>(&status), __WALL | WNOHANG, 0);
  if (result == 0 || result == -EINTR) return Look::runs;
  return result == pid ? Look::ended : Look::lost;
}

/// Does the child sleep? (/proc may show another pid namespace, in which that number is another process's.)
bool sleeps(long pid) {
  base::ProcessStat stat = read_stat(static_cast<int>(pid));
  return stat.state == 'S' && stat.parent == base::current_pid();
}

int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : kLost; }

}  // namespace

int wait_for(long pid, int milliseconds, bool may_sleep) {
  // A child made for a report needs a millisecond or less as a rule. It is looked at again after an eighth of the time
  // that it has taken: there is no way to be woken that does not take a signal or a descriptor of the program's.
  constexpr uint64_t kShortest = kMillisecond / 20, kLongest = 10 * kMillisecond;
  constexpr uint64_t kToDie = 1000 * kMillisecond;
  int status = 0;
  bool killed = false;
  bool has_slept = false;
  for (uint64_t waited = 0, most = static_cast<uint64_t>(milliseconds) * kMillisecond;;) {
    Look look = look_at(pid, status);
    if (look == Look::ended) return killed ? kLost : exit_status(status);
    if (look == Look::lost) return kLost;
    if (waited >= most && killed) return kLost;  // it hangs in the kernel
    bool has_slept_before = has_slept;
    has_slept = !may_sleep && waited >= kMillisecond && sleeps(pid);
    if (waited >= most || (has_slept && has_slept_before && !killed)) {
      raw_syscall(SYS_kill, pid, SIGKILL);
      killed = true;
      most = waited + kToDie;
    }
    waited += std::max<uint64_t>(sleep_ns(std::clamp(waited / 8, kShortest, kLongest)), 1000);
  }
}

int wait_for_copy(int milliseconds, bool may_sleep) {
  track::OwnChild& child = track::g_own_child;
  pid_t pid = child.pid.load(std::memory_order_acquire);
  if (!pid) return kLost;
  int result = wait_for(pid, milliseconds, may_sleep);
  // A wait function of another thread may have collected it, and be about to record that.
  uint64_t collected = 0;
  for (int looks = 0; result == kLost && looks < 20; ++looks) {
    collected = child.collected.exchange(0, std::memory_order_acq_rel);
    if (collected || !base::may_call_system()) break;
    sleep_ns(kMillisecond / 2);
  }
  if (result == kLost && collected) result = exit_status(static_cast<int>(collected));
  track::own_child_ended();
  return result;
}

namespace {
constinit std::atomic<uint64_t> g_begun_ns{0};  ///< of the copy that was left
}  // namespace

void leave_copy(uint64_t begun_ns) {
  g_begun_ns.store(begun_ns, std::memory_order_relaxed);
  track::g_own_child.maker.store(track::kLeft, std::memory_order_release);
}

bool collect_left_copy(int milliseconds, bool kills, int& status, uint64_t& begun_ns) {
  constexpr uint64_t kMostNs = 15'000 * kMillisecond;
  track::OwnChild& child = track::g_own_child;
  if (child.maker.load(std::memory_order_acquire) != track::kLeft) return true;
  begun_ns = g_begun_ns.load(std::memory_order_relaxed);
  auto has_ended = [&] {
    pid_t pid = child.pid.load(std::memory_order_acquire);
    siginfo_t about{};
    long result =
        raw_syscall(SYS_waitid, P_PID, pid, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL);
    return !pid || is_error(result) || about.si_pid != 0;
  };
  bool ends = kills || has_ended();
  for (int waited = 0; !ends && waited < milliseconds; ++waited) {
    sleep_ns(kMillisecond);
    ends = has_ended();
  }
  if (!ends && base::monotonic_ns() - begun_ns < kMostNs) return false;
  // By a wait function of the program's, or here; this kills it, if it still runs.
  uint64_t collected = child.collected.exchange(0, std::memory_order_acq_rel);
  status = collected ? exit_status(static_cast<int>(collected)) : wait_for_copy(0);
  track::own_child_ended();
  return true;
}

int run_on_own_stack(void* context, int (*body)(void*)) {
  base::SignalBlock block;
  OwnStack stack;
  return stack ? arch::call_on_stack(stack.span(), body, context) : kLost;
}

}  // namespace unfreed::runtime
