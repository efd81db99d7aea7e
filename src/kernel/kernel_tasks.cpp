#include "kernel/kernel_tasks.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstddef>
#include <new>
#include <string_view>

#include "base/numbered_entries.h"
#include "base/process_stat.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::report {

namespace {

using base::is_error;
using base::raw_syscall;
using ledger::KernelTask;
using ledger::SectionId;

using Path = base::FixedText<96>;

class Lister {
 public:
  Lister(ledger::Writer& writer, int pid, long ledger_file)
      : writer_(writer), own_pid_(base::current_pid()), pid_(pid == 0 ? own_pid_ : pid), ledger_file_(ledger_file) {}

  void run() {
    writer_.header().flags.fetch_and(~(ledger::kHeaderFlagThreadsListed | ledger::kHeaderFlagChildrenListed));
    writer_.section(SectionId::kernel_tasks).count.store(0, std::memory_order_relaxed);
    uint32_t flags = list_threads() ? ledger::kHeaderFlagThreadsListed : 0;
    if (list_known_children()) flags |= ledger::kHeaderFlagChildrenListed;
    writer_.section(SectionId::kernel_tasks).count.store(count_, std::memory_order_release);
    writer_.header().flags.fetch_or(flags, std::memory_order_release);
  }

 private:
  bool is_self() const { return pid_ == own_pid_; }
  void add_process(Path& path) const {
    path.add("/proc/");
    if (is_self())
      path.add("self");
    else
      path.add_signed(pid_);
  }

  bool add(int id, bool is_child, const base::ProcessStat& stat) {
    auto* record = writer_.touch<KernelTask>(SectionId::kernel_tasks, count_);
    if (!record) {
      writer_.drop(ledger::Dropped::kernel_tasks_full);
      return false;
    }
    *record = {};
    record->id = id;
    record->is_child = is_child;
    record->state = stat.state;
    base::TextBuilder(record->name).add(stat.name);
    ++count_;
    return true;
  }

  bool is_listed_child(int pid) const {
    for (uint64_t i = 0; i < count_; ++i) {
      const auto* record = writer_.at<KernelTask>(SectionId::kernel_tasks, i);
      if (record->is_child && record->id == pid) return true;
    }
    return false;
  }

  /// Threads, and on the way the children that each has (CONFIG_PROC_CHILDREN).
  bool list_threads() {
    Path path;
    add_process(path);
    path.add("/task");
    long directory = base::open_file(path.c_str(), O_RDONLY | O_DIRECTORY);
    if (is_error(directory)) return false;
    bool whole = true;
    bool has_children = !is_self() || may_have_children();
    bool listed = base::each_numbered_entry(directory, entries_, [&](int tid) {
      whole = add_thread(tid) && whole;
      if (has_children) list_children_of(tid);
      return true;
    });
    base::close_file(directory);
    return listed && whole;
  }

  bool add_thread(int tid) {
    Path path;
    add_process(path);
    path.add("/task/").add_signed(tid).add("/stat");
    base::ProcessStat stat = base::read_process_stat(path.c_str());
    return stat.is_gone || add(tid, false, stat);  // one that is gone has ended meanwhile
  }

  /// The usual case, by one system call instead of many.
  static bool may_have_children() {
    siginfo_t about{};
    return raw_syscall(SYS_waitid, P_ALL, 0, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL) !=
           -ECHILD;
  }

  void list_children_of(int tid) {
    Path path;
    add_process(path);
    path.add("/task/").add_signed(tid).add("/children");
    long size = base::read_file(path.c_str(), children_, sizeof children_);
    base::each_id({children_, size > 0 ? static_cast<size_t>(size) : 0}, [this](int pid) { list_child(pid); });
  }

  /// False: nothing could be found out. That it has ended is a finding.
  bool list_child(int pid) {
    if (pid == own_pid_) return true;  // made for this report
    Path path;
    path.add("/proc/").add_signed(pid).add("/stat");
    base::ProcessStat stat = base::read_process_stat(path.c_str());
    if (stat.is_known) {
      bool is_own = stat.parent == pid_;
      if (is_own && !stat.exit_signal && is_runtime_copy(pid)) return true;
      if (is_own && add(pid, true, stat) && is_python_helper(pid, stat.name))
        writer_.at<KernelTask>(SectionId::kernel_tasks, count_ - 1)->flags |= ledger::kTaskPythonHelper;
      return true;  // else the number is somebody else's by now
    }
    siginfo_t about{};
    if (!is_self()) return has_proc();
    long result =
        raw_syscall(SYS_waitid, P_PID, pid, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL);
    if (!is_error(result)) {
      stat.state = about.si_pid ? 'Z' : ' ';
      add(pid, true, stat);
    }
    return !is_error(result) || result == -ECHILD;
  }

  /// The process may be making a report at this moment, in a copy of itself (track/own_child.h). A child that it has
  /// made with exit signal 0, too, is its own.
  bool is_runtime_copy(int pid) {
    int32_t copy = read_own_copy();
    constexpr int kMostLooks = 100;
    for (int looks = 0; copy == ledger::kCopyBeingMade && looks < kMostLooks; ++looks) {
      timespec moment{0, 100'000};
      raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
      copy = read_own_copy();
    }
    if (copy == ledger::kCopyBeingMade) return true;  // the process has been stopped
    Path path;
    path.add("/proc/").add_signed(pid).add("/status");
    long size = copy || ledger_file_ >= 0 ? base::read_file(path.c_str(), status_, sizeof status_) : 0;
    if (size < 0) return true;  // it has ended meanwhile, as copies do soon
    return copy && pid_in_namespace({status_, static_cast<size_t>(size)}, pid) == static_cast<uint64_t>(copy);
  }

  int32_t read_own_copy() const {
    int32_t copy = 0;
    if (ledger_file_ < 0) return 0;
    long read = raw_syscall(SYS_pread64, ledger_file_, reinterpret_cast<long>(&copy), sizeof copy,
                            offsetof(ledger::Header, own_copy));
    return read == sizeof copy ? copy : 0;
  }

  /// The last number of the line NSpid of a status file: the process's own view, as its ledger has it.
  static uint64_t pid_in_namespace(std::string_view status, int pid) {
    constexpr std::string_view kLine = "\nNSpid:";
    uint64_t number = static_cast<uint64_t>(pid);
    size_t at = status.find(kLine);
    if (at == status.npos) return number;
    std::string_view rest = base::slice(status, at + kLine.size());
    rest = base::slice(rest, 0, rest.find('\n'));
    base::parse_number(base::slice(rest, rest.rfind('\t') + 1), number);
    return number;
  }

  /// Overwrites text_.
  bool is_python_helper(int pid, std::string_view name) {
    if (!name.starts_with("python") && !name.starts_with("pypy")) return false;
    Path path;
    path.add("/proc/").add_signed(pid).add("/cmdline");
    long size = base::read_file(path.c_str(), text_, sizeof text_);
    std::string_view arguments(text_, size > 0 ? static_cast<size_t>(size) : 0);
    return arguments.find("from multiprocessing.resource_tracker import main") != arguments.npos ||
           arguments.find("from multiprocessing.forkserver import main") != arguments.npos;
  }

  static bool has_proc() { return raw_syscall(SYS_faccessat, AT_FDCWD, reinterpret_cast<long>("/proc/self"), 0) == 0; }

  bool list_known_children() {
    bool whole = true;
    each_record([&](const ledger::ChildRecord& record) {
      if (!is_listed_child(record.pid)) whole = list_child(record.pid) && whole;
    });
    return whole;
  }

  /// Children that hooked functions started.
  template <class Visit>
  void each_record(Visit visit) {
    uint64_t used = writer_.section(SectionId::children).count.load(std::memory_order_acquire);
    for (uint64_t i = 0; i < used; ++i) {
      const auto* record = writer_.touch<ledger::ChildRecord>(SectionId::children, i);
      if (!record) return;
      if (record->state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::ChildState::free))
        visit(*record);
    }
  }

  ledger::Writer& writer_;
  int own_pid_;
  int pid_;
  long ledger_file_;
  uint64_t count_ = 0;
  alignas(8) char entries_[2048];
  char text_[1024];
  char status_[4096];
  char children_[4096];
};

}  // namespace

void take_kernel_tasks(ledger::Writer& writer, int pid, long ledger_file) {
  // Not on the stack, which may be a signal handler's small one.
  void* place = base::map_memory(sizeof(Lister));
  if (!place) return;
  (new (place) Lister(writer, pid, ledger_file))->run();
  base::unmap_memory(place, sizeof(Lister));
}

}  // namespace unfreed::report
