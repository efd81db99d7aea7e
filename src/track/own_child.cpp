#include "track/own_child.h"

#include <string_view>

#include "base/process_stat.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/tracker.h"

namespace unfreed::track {

namespace {

constexpr std::string_view kProc = "/proc/", kList = "children";

/// Lists of children that were opened: of those that are not closed yet, one may be about to be read.
struct List {
  std::atomic<int> number;  ///< + 1
  std::atomic<uint64_t> opened_ns;
  std::atomic<pid_t> opener;  ///< a thread
};
constexpr uint32_t kMostLists = 32;
constinit List g_lists[kMostLists];
/// One that was opened so long ago has been read, unless its thread has been waiting for a processor. No report waits
/// for longer than that.
constexpr uint64_t kToReadNs = 200'000'000, kToReadWithoutProcessorNs = 2'000'000'000;
constinit std::atomic<uint32_t> g_next_list{0};

bool is_open_list(int fd) {
  base::FixedText<48> link;
  link.add("/proc/thread-self/fd/").add_signed(fd);
  char target[64];  // "/proc/PID/task/TID/children"
  long bytes = base::raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(link.c_str()),
                                 reinterpret_cast<long>(target), sizeof target);
  std::string_view path(target, bytes > 0 ? static_cast<size_t>(bytes) : 0);
  return path.starts_with(kProc) && path.ends_with(kList);
}

/// Does a thread run, or wait for a processor? One that sleeps is not about to read.
bool is_runnable(pid_t thread) {
  base::FixedText<64> path;
  path.add("/proc/self/task/").add_signed(thread).add("/stat");
  return base::read_process_stat(path.c_str()).state == 'R';
}

bool is_any_list_open() {
  bool is_any = false;
  for (List& list : g_lists) {
    int noted = list.number.load();
    if (!noted) continue;
    uint64_t age_ns = base::monotonic_ns() - list.opened_ns.load();
    pid_t opener = list.opener.load();
    // The calling thread reads nothing until the child is gone.
    if (opener == base::current_tid()) continue;
    bool is_unread = age_ns < kToReadNs || (age_ns < kToReadWithoutProcessorNs && is_runnable(opener));
    if (is_unread && is_open_list(noted - 1))
      is_any = true;
    else
      list.number.compare_exchange_strong(noted, 0);
  }
  return is_any;
}

void sleep_a_moment() {
  timespec moment{0, 100'000};
  base::raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
}

/// The process that it is a file about, or whose folder; 0: it is none.
pid_t process_of(std::string_view path) {
  if (!path.starts_with(kProc)) return 0;
  std::string_view rest = base::slice(path, kProc.size());
  uint64_t number = 0;
  bool is_process = base::parse_number(base::slice(rest, 0, rest.find('/')), number) && number <= INT32_MAX;
  return is_process ? static_cast<pid_t>(number) : 0;
}

/// Is the kernel making it at this moment? It has a folder in /proc before its number is known here.
bool is_being_made() {
  return g_tracker.writer &&
         g_tracker.writer.header().own_copy.load(std::memory_order_acquire) == ledger::kCopyBeingMade;
}

/// A zombie can still be seen, until the thread that made the child collects it. If it never does, a jump out of a
/// signal handler has kept it from that.
bool has_ended(pid_t child, bool is_late) {
  siginfo_t about{};
  long result =
      base::raw_syscall(SYS_waitid, P_PID, child, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL);
  return base::is_error(result) || (is_late && about.si_pid != 0);
}

/// One that was left alone. False: it has not ended.
bool collect(pid_t child) {
  int status = 0;
  return base::raw_syscall(SYS_wait4, child, reinterpret_cast<long>(&status), __WALL | WNOHANG, 0) == child &&
         own_child_collected(child, status);
}

}  // namespace

bool own_child_met(const siginfo_t& about, int options) {
  if (about.si_pid <= 0 || about.si_pid != g_own_child.pid.load(std::memory_order_acquire)) [[likely]]
    return false;
  bool ended = about.si_code == CLD_EXITED || about.si_code == CLD_KILLED || about.si_code == CLD_DUMPED;
  if (!ended) return true;
  int status = about.si_code == CLD_EXITED ? (about.si_status & 0xff) << 8 : about.si_status & 0x7f;
  if (options & WNOWAIT)
    base::raw_syscall(SYS_wait4, about.si_pid, reinterpret_cast<long>(&status), __WALL | WNOHANG, 0);
  return own_child_collected(about.si_pid, status);
}

void own_child_begins() {
  g_own_child.maker.store(base::current_tid());
  uint64_t end = base::monotonic_ns() + kToReadWithoutProcessorNs;
  while (is_any_list_open() && base::may_call_system() && base::monotonic_ns() < end) sleep_a_moment();
}

void note_own_child(int32_t copy) {
  if (g_tracker.writer) g_tracker.writer.header().own_copy.store(copy, std::memory_order_release);
}

void own_child_ended() {
  note_own_child(0);
  g_own_child.pid.store(0, std::memory_order_release);
  g_own_child.maker.store(0, std::memory_order_release);
}

void hide_own_child(int fd, const char* path, size_t length) {
  std::string_view opened(path, length);
  bool is_list = opened.ends_with(kList);
  List* list = is_list ? &g_lists[g_next_list.fetch_add(1) % kMostLists] : nullptr;
  constexpr int kMostLooks = 100'000, kLate = 10'000;
  for (int looks = 0; looks < kMostLooks; ++looks) {
    // Noted before it is checked: a thread that begins to make a child does the two in the other order.
    if (list) list->opened_ns.store(base::monotonic_ns());
    if (list) list->opener.store(base::current_tid());
    if (list) list->number.store(fd + 1);
    bool is_unknown = is_being_made();  // before its number is looked at
    pid_t maker = g_own_child.maker.load(), child = g_own_child.pid.load(std::memory_order_acquire);
    if (!maker || maker == base::current_tid() || (maker == kLeft && !child)) return;
    pid_t about = is_list ? 0 : process_of(opened);
    if (!is_list && (!about || (about != child && !is_unknown))) return;
    if (child && maker == kLeft && collect(child)) continue;
    if (child && looks % 64 == 63 && has_ended(child, looks > kLate)) return;
    if (list) list->number.store(0);  // nobody reads it meanwhile
    sleep_a_moment();
  }
}

}  // namespace unfreed::track
