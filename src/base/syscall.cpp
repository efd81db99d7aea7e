#include "base/syscall.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <iterator>

#include "arch/system_call.h"
#include "base/scan.h"

namespace unfreed::base {

namespace {

constinit std::atomic<bool> g_forbidden{false};
/// How the clock is read.
enum class Clock : uint8_t {
  exact,    ///< by the vDSO, which asks the processor, or else the kernel
  coarse,   ///< as of the last tick, which the kernel leaves in memory
  stopped,  ///< there is no vDSO
};
constinit std::atomic<Clock> g_clock{Clock::exact};
constinit std::atomic<bool> g_never_exact{false};
constinit std::atomic<bool> g_future_locked{false};
/// Real and monotonic time when system calls were forbidden.
constinit std::atomic<uint64_t> g_last_ns[2];

/// Does the vDSO read the clock by itself? Else it makes a system call.
bool reads_clock_in_user_space() {
  char source[32];
  long size = read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source);
  std::string_view name(source, size > 0 ? static_cast<size_t>(size) : 0);
  for (std::string_view known : {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"})
    if (name.starts_with(known)) return true;
  return false;
}

}  // namespace

namespace {

/// Watching for a sandbox: the process (0: no), and the filters that it was started with.
constinit std::atomic<long> g_watched_pid{0};
constinit int g_first_filters = 0;
constinit bool g_is_alone = false;  ///< nobody is there who could restrict it
void (*g_noticed)() = nullptr;
void (*g_asking)(bool) = nullptr;

/// Calls that every filter allows which allows prctl: without them nothing runs.
bool is_plain(long number) {
  for (long plain : {SYS_read, SYS_write, SYS_close, SYS_futex, SYS_getpid, SYS_gettid, SYS_sched_yield, SYS_nanosleep,
                     SYS_rt_sigprocmask, SYS_munmap, SYS_wait4})
    if (number == plain) return true;
  return false;
}

/// While it lives, a question is put to the kernel that an unseen filter may forbid.
class Asking {
 public:
  Asking() { g_asking(true); }
  ~Asking() { g_asking(false); }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
};

/// How many filters restrict this thread's system calls (Linux 5.9). −1: unknown.
int count_filters() {
  Asking asking;
  char status[4096];
  long fd = arch::system_call(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/proc/thread-self/status"),
                              O_RDONLY | O_CLOEXEC, 0, 0, 0);
  if (fd < 0) return -1;
  long size = arch::system_call(SYS_read, fd, reinterpret_cast<long>(status), sizeof status, 0, 0, 0);
  arch::system_call(SYS_close, fd, 0, 0, 0, 0, 0);
  constexpr std::string_view kField = "Seccomp_filters:\t";
  std::string_view text(status, size > 0 ? static_cast<size_t>(size) : 0);
  size_t at = text.find(kField);
  if (at == text.npos) return -1;
  uint64_t count = 0;
  text = slice(text, at + kField.size());
  take_number(text, count);
  return static_cast<int>(count);
}

void stop_clock(bool is_exact) {
  g_last_ns[0].store(realtime_ns(), std::memory_order_relaxed);
  g_last_ns[1].store(monotonic_ns(), std::memory_order_relaxed);
  g_clock.store(is_exact                     ? Clock::exact
                : getauxval(AT_SYSINFO_EHDR) ? Clock::coarse
                                             : Clock::stopped,
                std::memory_order_relaxed);
}

bool is_filtered() {
  Asking asking;
  return arch::system_call(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0, 0) > 0;
}

/// From here on no call is made.
void stop_calling() {
  stop_clock(false);
  if (!g_forbidden.exchange(true)) g_noticed();
}

/// Has this process, which was started without a filter, been restricted? Then calls are forbidden from here on.
bool is_sandboxed() {
  long watched = g_watched_pid.load(std::memory_order_relaxed);
  if (!watched || g_is_alone || g_first_filters || !is_filtered()) return false;
  // The child of a vfork, or of a fork that has not been adopted, decides nothing for the process.
  if (arch::system_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == watched) stop_calling();
  return true;
}

}  // namespace

void watch_for_sandbox_in_fork_child() {
  if (g_watched_pid.load(std::memory_order_relaxed))
    g_watched_pid.store(arch::system_call(SYS_getpid, 0, 0, 0, 0, 0, 0), std::memory_order_relaxed);
}

void watch_for_sandbox(void (*noticed)(), void (*asking)(bool)) {
  g_noticed = noticed;
  g_asking = asking;
  g_first_filters = is_filtered() ? count_filters() : 0;
  g_watched_pid.store(arch::system_call(SYS_getpid, 0, 0, 0, 0, 0, 0), std::memory_order_release);
}

long raw_syscall(long number, long a, long b, long c, long d, long e, long f) {
  if (g_forbidden.load(std::memory_order_relaxed)) return -EPERM;
  if (!is_plain(number) && is_sandboxed()) return -EPERM;
  return arch::system_call(number, a, b, c, d, e, f);
}

void forbid_system_calls(bool may_read_clock) {
  stop_clock(may_read_clock && !g_never_exact.load(std::memory_order_relaxed) && reads_clock_in_user_space());
  g_forbidden.store(true, std::memory_order_release);
}

void allow_system_calls() {
  if (!g_never_exact.load(std::memory_order_relaxed)) g_clock.store(Clock::exact, std::memory_order_relaxed);
  g_forbidden.store(false, std::memory_order_relaxed);
}

void read_coarse_clock() {
  g_never_exact.store(true, std::memory_order_relaxed);
  if (getauxval(AT_SYSINFO_EHDR)) stop_clock(false);
}

bool may_call_system() { return !g_forbidden.load(std::memory_order_relaxed) && !is_sandboxed(); }

AloneInProcess::AloneInProcess(bool is_alone) : was_alone_(g_is_alone) {
  if (is_alone && may_call_system()) g_is_alone = true;
}
AloneInProcess::~AloneInProcess() { g_is_alone = was_alone_; }

void count_sandboxes() {
  if (g_first_filters > 0 && may_call_system() && count_filters() > g_first_filters) stop_calling();
}

void end_process(int status) {
  for (;;) arch::system_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

void set_future_locked(bool is_locked) { g_future_locked.store(is_locked, std::memory_order_relaxed); }

uintptr_t apart_from_program() {
  constexpr uintptr_t kDistance = uintptr_t{64} << 30, kUnit = uintptr_t{1} << 30;
  auto here = reinterpret_cast<uintptr_t>(&apart_from_program);
  return here > 2 * kDistance ? (here - kDistance) & ~(kUnit - 1) : 0;
}

namespace {
// Passing memory goes halfway to the program's mappings, out of the way of what stays.
constexpr uintptr_t kPassingFrom = uintptr_t{32} << 30, kPassingUnit = uintptr_t{1} << 30;
constexpr uintptr_t kPassingPlaces = 16;
}  // namespace

namespace {
struct Passing {
  std::atomic<uintptr_t> start;
  std::atomic<size_t> bytes;
};
constinit Passing g_passing[256];
constinit std::atomic<bool> g_passing_is_full{false};

void note_passing(uintptr_t start, size_t bytes) {
  for (Passing& one : g_passing) {
    uintptr_t none = 0;
    if (!one.start.compare_exchange_strong(none, start, std::memory_order_acq_rel)) continue;
    one.bytes.store(bytes, std::memory_order_release);
    return;
  }
  g_passing_is_full.store(true, std::memory_order_relaxed);
}

void forget_passing(uintptr_t start) {
  for (Passing& one : g_passing) {
    if (one.start.load(std::memory_order_relaxed) != start) continue;
    one.bytes.store(0, std::memory_order_relaxed);
    one.start.store(0, std::memory_order_release);
    return;
  }
}
}  // namespace

bool passing_memory(size_t index, AddressRange& out) {
  if (index >= std::size(g_passing)) return false;
  uintptr_t start = g_passing[index].start.load(std::memory_order_acquire);
  out = {start, start + g_passing[index].bytes.load(std::memory_order_acquire)};
  return true;
}

bool is_passing_memory_unknown() { return g_passing_is_full.load(std::memory_order_relaxed); }

namespace {
/// Of memory that was mapped without access while all new memory is locked: what may not be touched is not backed, and
/// once it is not locked any more, neither will it be.
long unlock(long start, size_t bytes, int protection) {
  raw_syscall(SYS_munlock, start, static_cast<long>(bytes));
  return raw_syscall(SYS_mprotect, start, static_cast<long>(bytes), protection);
}
}  // namespace

void* map_memory(size_t bytes) {
  // One after another in turn: where the wish is not free, the kernel chooses a place among the program's mappings.
  static std::atomic<uint32_t> turn;
  uintptr_t wish = apart_from_program();
  if (wish) wish += kPassingFrom + (turn.fetch_add(1, std::memory_order_relaxed) % kPassingPlaces) * kPassingUnit;
  bool is_locked = g_future_locked.load(std::memory_order_relaxed);
  long result = raw_syscall(SYS_mmap, static_cast<long>(wish), static_cast<long>(bytes),
                            is_locked ? PROT_NONE : PROT_READ | PROT_WRITE, kPrivateMemory, -1, 0);
  if (is_error(result)) return nullptr;
  if (is_locked && is_error(unlock(result, bytes, PROT_READ | PROT_WRITE))) {
    raw_syscall(SYS_munmap, result, static_cast<long>(bytes));
    return nullptr;
  }
  note_passing(static_cast<uintptr_t>(result), (bytes + 4095) & ~size_t{4095});
  return reinterpret_cast<void*>(result);
}

long map_at(uintptr_t address, size_t bytes, int protection, int flags, long fd, uint64_t offset) {
  bool is_locked = g_future_locked.load(std::memory_order_relaxed);
  // An address that is only wished for is not granted in a growing stack's way. (MAP_FIXED_NOREPLACE does not look.)
  long result = raw_syscall(SYS_mmap, static_cast<long>(address), static_cast<long>(bytes),
                            is_locked ? PROT_NONE : protection, flags, fd, static_cast<long>(offset));
  if (is_error(result)) return result;
  if (static_cast<uintptr_t>(result) != address) {
    unmap_memory(reinterpret_cast<void*>(result), bytes);
    return -EEXIST;
  }
  return is_locked ? unlock(result, bytes, protection) : 0;
}

void unmap_memory(void* address, size_t bytes) {
  forget_passing(reinterpret_cast<uintptr_t>(address));
  raw_syscall(SYS_munmap, reinterpret_cast<long>(address), static_cast<long>(bytes));
}

void leave_out_of_dumps(void* start, size_t bytes) {
  raw_syscall(SYS_madvise, reinterpret_cast<long>(start), static_cast<long>(bytes), MADV_DONTDUMP);
}

long populate_memory(void* start, size_t bytes) {
  constexpr long kPopulateWrite = 23;  // older headers have no name for it
  return raw_syscall(SYS_madvise, reinterpret_cast<long>(start), static_cast<long>(bytes), kPopulateWrite);
}

void prefer_huge_pages(void* start, size_t bytes) {
  raw_syscall(SYS_madvise, reinterpret_cast<long>(start), static_cast<long>(bytes), MADV_HUGEPAGE);
}

long copy_memory(int pid, uintptr_t from, void* to, size_t bytes) {
  iovec local{to, bytes}, remote{reinterpret_cast<void*>(from), bytes};
  // Of the calling thread, not of the process: the main thread may have ended, and its memory is gone then.
  return raw_syscall(SYS_process_vm_readv, pid ? pid : current_tid(), reinterpret_cast<long>(&local), 1,
                     reinterpret_cast<long>(&remote), 1, 0);
}

std::string_view current_directory(std::span<char> out) {
  long size = raw_syscall(SYS_getcwd, reinterpret_cast<long>(out.data()), static_cast<long>(out.size()));
  // "(unreachable)/…" is what the kernel says of one outside the root directory.
  if (size > 1 && out[0] == '/') return {out.data(), static_cast<size_t>(size - 1)};
  if (!out.empty()) out[0] = '\0';
  return {};
}

bool can_read(const void* address) {
  // The kernel reads the set before it looks at what to do with it. No set may begin in the last bytes of a page.
  constexpr long kNoAction = -1;
  uintptr_t start = reinterpret_cast<uintptr_t>(address) & ~uintptr_t{7};
  return raw_syscall(SYS_rt_sigprocmask, kNoAction, static_cast<long>(start), 0, 8) == -EINVAL;
}

Openness openness_of(int fd) {
  long flags = raw_syscall(SYS_fcntl, fd, F_GETFD);
  return flags == -EBADF ? Openness::closed : is_error(flags) ? Openness::unknown : Openness::open;
}

long open_file(const char* path, int flags, int mode) {
  return raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(path), flags | O_CLOEXEC, mode);
}

void close_file(long fd) { raw_syscall(SYS_close, fd); }

bool write_all(long fd, std::string_view text) {
  while (!text.empty()) {
    long written = raw_syscall(SYS_write, fd, reinterpret_cast<long>(text.data()), static_cast<long>(text.size()));
    if (written == -EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

long read_file(const char* path, char* out, size_t capacity) {
  long fd = open_file(path, O_RDONLY);
  if (fd < 0) return fd;
  size_t size = 0;
  long error = 0;
  while (size < capacity) {
    long got = raw_syscall(SYS_read, fd, reinterpret_cast<long>(out + size), static_cast<long>(capacity - size));
    if (got == -EINTR) continue;
    if (got <= 0) {
      error = got;
      break;
    }
    size += static_cast<size_t>(got);
  }
  close_file(fd);
  return size ? static_cast<long>(size) : error;
}

int current_pid() { return std::max(0, static_cast<int>(raw_syscall(SYS_getpid))); }
int current_tid() { return std::max(0, static_cast<int>(raw_syscall(SYS_gettid))); }

namespace {
uint64_t clock_of_last_tick_ns(clockid_t clock) {
  uint64_t last = g_last_ns[clock != CLOCK_REALTIME].load(std::memory_order_relaxed);
  if (g_clock.load(std::memory_order_relaxed) == Clock::stopped) return last;
  timespec now{};
  clock_gettime(clock == CLOCK_REALTIME ? CLOCK_REALTIME_COARSE : CLOCK_MONOTONIC_COARSE, &now);
  return std::max(last, static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec));
}

[[gnu::always_inline]] inline uint64_t clock_ns(clockid_t clock) {
  if (g_clock.load(std::memory_order_relaxed) != Clock::exact) [[unlikely]]
    return clock_of_last_tick_ns(clock);
  // libc's clock_gettime goes through the vDSO: no kernel entry.
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}
}  // namespace

uint64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
uint64_t coarse_monotonic_ns() { return clock_ns(CLOCK_MONOTONIC_COARSE); }
uint64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }

}  // namespace unfreed::base
