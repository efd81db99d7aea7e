#include "trace/injection.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <thread>

#include "base/live_thread.h"
#include "base/process_stat.h"
#include "base/syscall.h"
#include "trace/borrowed_thread.h"
#include "trace/process_files.h"
#include "trace/safe_point.h"
#include "trace/stopped_thread.h"

namespace unfreed::trace {

const bool kCanInject = true;

namespace {

using Outcome = BorrowedThread::Outcome;

static_assert(BorrowedThread::kMostToCallNs == 10'000'000'000);
std::string has_not_come_back(const char* what) {
  return std::string("one of its threads has not finished to ") + what +
         " within ten seconds; it goes on with that, and then with what it did before";
}
constexpr const char* kNoSafePoint =
    "none of its threads came to a place where a library can be loaded: a system call that waits, outside of the "
    "loader and the allocator";

/// With all of its threads.
bool has_ended(int pid) {
  base::ProcessStat stat = base::read_process_stat(("/proc/" + std::to_string(pid) + "/stat").c_str());
  return !stat.is_known || (stat.has_ended() && stat.threads <= 1);
}

/// While it exists, all threads of the process but one are stopped. `late` receives those that had not stopped by its
/// end: they are to be let go when they have.
class OthersStopped {
 public:
  OthersStopped(int pid, int running, std::vector<int>& late) : pid_(pid), running_(running), late_(late) {}
  ~OthersStopped() { let_go(); }
  OthersStopped(const OthersStopped&) = delete;
  OthersStopped& operator=(const OthersStopped&) = delete;

  enum class Stop : uint8_t {
    done,
    not_yet,  ///< the kernel is busy with one of them, or lets it have no processor
    refused,
  };
  Stop stop(uint64_t most_ns) {
    const uint64_t end_ns = base::monotonic_ns() + most_ns;
    for (size_t known = 0;;) {
      for (int tid : ProcessFiles(pid_).numbers("task")) {
        if (tid == running_ || statuses_.contains(tid)) continue;
        if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0) {
          int error = errno;
          if (error == ESRCH || ProcessFiles(tid).has_ended()) continue;
          if (error != EPERM || ProcessFiles(tid).tracer() != gettid()) return Stop::refused;
        }
        statuses_[tid] = kRuns;
        ptrace(PTRACE_INTERRUPT, tid, 0, 0);
      }
      if (!wait(end_ns)) return Stop::not_yet;
      // Those that were started meanwhile.
      if (statuses_.size() == known) return Stop::done;
      known = statuses_.size();
    }
  }

  const std::map<int, int>& statuses() const { return statuses_; }

  void let_go() {
    for (auto [tid, status] : statuses_) {
      if (status == kRuns)
        late_.push_back(tid);
      else
        trace::let_go(tid, status);
    }
    statuses_.clear();
  }

 private:
  bool wait(uint64_t end_ns) {
    constexpr unsigned kPauseMicroseconds = 50;
    for (;;) {
      bool all = true;
      for (auto& [tid, status] : statuses_)
        if (status == kRuns && waitpid(tid, &status, __WALL | WNOHANG) == 0) all = false;
      if (all || base::monotonic_ns() >= end_ns) return all;
      usleep(kPauseMicroseconds);
    }
  }

  int pid_;
  int running_;
  std::vector<int>& late_;
  std::map<int, int> statuses_;  ///< kRuns: not stopped yet
};

class Injection {
 public:
  Injection(int pid, uint64_t patience_ns) : pid_(pid), end_ns_(base::monotonic_ns() + patience_ns) {
    look();
    if (!safe_->obstacle().empty()) look();  // as below
  }

  Injected load(const std::string& library, const std::vector<std::string>& settings);
  Injected take_out();

 private:
  /// At what is loaded.
  void look() { safe_ = std::make_unique<SafePoint>(base::live_thread(pid_)); }
  bool is_time() const { return base::monotonic_ns() < end_ns_; }
  bool borrow(BorrowedThread& thread);
  bool open_library(BorrowedThread& thread, const std::string& library);
  uintptr_t place_settings(BorrowedThread& thread, const std::vector<std::string>& settings);
  std::string call_runtime(BorrowedThread& thread, const char* entry, uint64_t argument);
  bool is_quiescent(const OthersStopped& others);
  bool any_in_loader(const OthersStopped& others);
  enum class Quiescence : uint8_t { not_needed, preferred, required };
  bool call_alone(BorrowedThread& thread, const char* entry, Quiescence quiescence);
  bool fails(std::string why) {
    out_.problem = std::move(why);
    return false;
  }

  int pid_;
  uint64_t end_ns_;
  std::unique_ptr<SafePoint> safe_;
  RemoteObject runtime_;
  Injected out_;
};

bool Injection::borrow(BorrowedThread& thread) {
  constexpr unsigned kPauseMicroseconds = 1000;
  // Stopping those that compute is in vain more often than not.
  constexpr int kRoundsOfWaiting = 20;
  for (int round = 0; is_time(); ++round) {
    bool any = false, takes_any = round % kRoundsOfWaiting == kRoundsOfWaiting - 1;
    // The list of mappings may have been read just as the process was changing it.
    if (takes_any) look();
    for (int tid : ProcessFiles(pid_).numbers("task")) {
      if (!takes_any && !safe_->may_wait_safely(tid)) continue;
      int error = 0;
      if (thread.borrow(tid, *safe_, error)) return true;
      bool is_ours = error == EPERM && ProcessFiles(tid).tracer() == gettid();  // it has not stopped in time
      if (error == EPERM && !is_ours && ProcessFiles(tid).tracer()) return fails("another program traces it");
      if (error && error != ESRCH && !is_ours && !ProcessFiles(tid).has_ended()) {
        out_.error = error;
        return false;
      }
      any = true;
      if (!is_time()) break;
    }
    if (!any && has_ended(pid_)) {
      out_.error = ESRCH;
      return false;
    }
    usleep(kPauseMicroseconds);
  }
  return fails(kNoSafePoint);
}

/// Not if the library is there already.
bool Injection::open_library(BorrowedThread& thread, const std::string& library) {
  runtime_ = safe_->find_runtime(thread.tid());
  if (runtime_) return true;
  int flags;
  uintptr_t function = safe_->find_dlopen(thread.tid(), flags);
  uintptr_t path = thread.place(library);
  if (!function || !path) return fails("its libc has no dlopen");
  auto mode = static_cast<unsigned>(flags | RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  Outcome outcome = thread.call_loader(function, path, mode, *safe_);
  if (outcome == Outcome::given_up) return false;
  if (outcome == Outcome::left) return fails(has_not_come_back("load the library"));
  if (outcome == Outcome::failed) return fails("a thread failed in dlopen");
  look();
  runtime_ = safe_->find_runtime(thread.tid());
  if (runtime_) return true;
  uint64_t text = 0;
  uintptr_t dlerror = safe_->libc().find("dlerror");
  bool is_known = dlerror && thread.ask(dlerror, text) == Outcome::done && text;
  constexpr size_t kMostText = 500;
  std::string why = is_known ? ThreadMemory(thread.tid()).read_text(text, kMostText) : "dlopen failed";
  return fails("its loader does not load the library: " + why);
}

uintptr_t Injection::place_settings(BorrowedThread& thread, const std::vector<std::string>& settings) {
  std::vector<uintptr_t> list;
  for (const std::string& one : settings) {
    list.push_back(thread.place(one));
    if (!list.back()) return 0;
  }
  list.push_back(0);
  return thread.place(list.data(), list.size() * sizeof list[0]);
}

/// "" or what it answers.
std::string Injection::call_runtime(BorrowedThread& thread, const char* entry, uint64_t argument) {
  uintptr_t function = runtime_.find(entry);
  if (!function) return "the library in it is another version's";
  uint64_t answer = 0;
  uintptr_t place = thread.place(&answer, sizeof answer);
  if (!place) return "there is no memory for an answer";
  Outcome outcome = thread.call(function, argument, place);
  if (outcome == Outcome::left) return has_not_come_back("begin or end to track");
  if (outcome == Outcome::failed || !ThreadMemory(thread.tid()).read_value(place, answer))
    return "a thread failed in the library";
  constexpr size_t kMostText = 500;
  return answer ? ThreadMemory(thread.tid()).read_text(answer, kMostText) : "";
}

/// No thread is in the middle of what the library does.
bool Injection::is_quiescent(const OthersStopped& others) {
  for (auto [tid, status] : others.statuses()) {
    arch::TracedRegisters registers;
    if (WIFSTOPPED(status) && read_registers(tid, registers) && safe_->may_be_in_runtime(tid, registers)) return false;
  }
  return true;
}

/// A thread that is about to bind a function puts the function's own address where the hook's has just been put.
bool Injection::any_in_loader(const OthersStopped& others) {
  return std::any_of(others.statuses().begin(), others.statuses().end(), [&](const auto& other) {
    arch::TracedRegisters registers;
    return WIFSTOPPED(other.second) && read_registers(other.first, registers) && safe_->is_in_loader(registers.pc());
  });
}

/// While the others are stopped; tries again as long as one of them is in the way. The function gets what
/// runtime/attached.cpp wants to know of them.
bool Injection::call_alone(BorrowedThread& thread, const char* entry, Quiescence quiescence) {
  constexpr int kMostWithoutQuiescence = 20;
  constexpr unsigned kPauseMicroseconds = 500;
  // The process does not run meanwhile: it is not to be kept for most of the time.
  constexpr uint64_t kFirstToStop = 50'000'000, kMostToStop = 500'000'000, kRunsFor = 4;
  const char* why = "";
  int tries = 0;
  for (uint64_t to_stop = kFirstToStop; is_time();) {
    uint64_t began = base::monotonic_ns();
    std::string answer = "again";
    OthersStopped::Stop stop;
    std::vector<int> late;
    {
      OthersStopped others(pid_, thread.tid(), late);
      stop = others.stop(to_stop);
      out_.threads = static_cast<int>(others.statuses().size()) + 1;
      bool are_stopped = stop == OthersStopped::Stop::done;
      bool are_outside = are_stopped && quiescence != Quiescence::not_needed && is_quiescent(others);
      bool goes_anyway = quiescence == Quiescence::not_needed ||
                         (quiescence == Quiescence::preferred && tries >= kMostWithoutQuiescence);
      bool may_bind = are_stopped && quiescence != Quiescence::preferred && any_in_loader(others);
      bool may_call = are_stopped && !may_bind && (are_outside || goes_anyway);
      bool may_look = are_stopped && quiescence == Quiescence::preferred;
      constexpr uint64_t kAreOutside = 1, kGoesAnyway = 2, kIsFirst = 4;
      uint64_t threads = (are_outside ? kAreOutside : 0) | (goes_anyway ? kGoesAnyway : 0) | (tries ? 0 : kIsFirst);
      if (may_call || may_look) {
        answer = call_runtime(thread, entry, threads);
        ++tries;
      }
      why = stop != OthersStopped::Stop::done
                ? "one of its threads could not be stopped: it waits in the kernel (state D), or has no processor"
            : may_call || may_bind
                ? "its threads were at work in the loader all the time"
                : "its threads were at work in the library all the time, or have stacks that cannot be followed";
    }
    const uint64_t stopped_ns = out_.stopped_ns = base::monotonic_ns() - began;
    if (stop == OthersStopped::Stop::refused)
      return fails("one of its threads cannot be stopped, as another traces it");
    if (answer.empty()) return true;
    if (answer != "again") return fails(answer);
    uint64_t until = base::monotonic_ns() + stopped_ns * kRunsFor;
    do {
      usleep(kPauseMicroseconds);
      std::erase_if(late, let_go_late);
    } while (base::monotonic_ns() < until);
    if (stop == OthersStopped::Stop::not_yet) to_stop = std::min(2 * to_stop, kMostToStop);
  }
  return fails(why);
}

Injected Injection::load(const std::string& library, const std::vector<std::string>& settings) {
  if (!safe_->can_look()) {
    out_.error = EPERM;
    return out_;
  }
  if (!safe_->obstacle().empty()) {
    out_.problem = safe_->obstacle();
    return out_;
  }
  bool is_open = false;
  const bool is_there = static_cast<bool>(safe_->find_runtime(base::live_thread(pid_)));
  BorrowedThread thread;
  uint64_t began = 0;
  while (!is_open) {
    if (!borrow(thread)) return out_;
    began = base::monotonic_ns();
    thread.keep_errno(safe_->libc().find("__errno_location"));
    is_open = open_library(thread, library);
    if (is_open) break;
    thread.give_back();
    if (!out_.problem.empty()) return out_;
    if (!is_time()) {
      out_.problem = "another of its threads was loading a library all the time";
      return out_;
    }
    constexpr unsigned kPauseMicroseconds = 5000;
    usleep(kPauseMicroseconds);
  }
  uintptr_t environment = place_settings(thread, settings);
  std::string answer = environment ? call_runtime(thread, "unfreed_runtime_attach", environment) : "too many settings";
  if (!answer.empty())
    out_.problem = answer;
  else if (!call_alone(thread, "unfreed_runtime_redirect", is_there ? Quiescence::required : Quiescence::not_needed))
    call_runtime(thread, "unfreed_runtime_close", 0);
  thread.give_back();
  out_.occupied_ns = base::monotonic_ns() - began;
  return out_;
}

Injected Injection::take_out() {
  BorrowedThread thread;
  runtime_ = safe_->find_runtime(base::live_thread(pid_));
  if (!safe_->can_look())
    out_.error = EPERM;
  else if (!runtime_)
    out_.problem = "the library is not in it";
  else if (borrow(thread)) {
    uint64_t began = base::monotonic_ns();
    thread.keep_errno(safe_->libc().find("__errno_location"));
    // A thread may wait in the library's code for as long as it likes, and hold a lock that the last function takes:
    // that is called with the others running.
    if (call_alone(thread, "unfreed_runtime_detach", Quiescence::preferred))
      out_.problem = call_runtime(thread, "unfreed_runtime_close", 0);
    thread.give_back();
    out_.occupied_ns = base::monotonic_ns() - began;
  }
  return out_;
}

}  // namespace

namespace {
/// In a thread of its own: what it could not let go is let go by the kernel when the thread ends.
template <class Work>
Injected trace_apart(int pid, Work work) {
  Injected out;
  std::thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    out = work();
  }).join();
  if ((out.error || !out.problem.empty()) && has_ended(pid)) out.error = ESRCH;
  return out;
}
}  // namespace

Injected inject(int pid, const std::string& library, const std::vector<std::string>& settings, uint64_t patience_ns) {
  return trace_apart(pid, [&] { return Injection(pid, patience_ns).load(library, settings); });
}

Injected take_out(int pid, uint64_t patience_ns) {
  return trace_apart(pid, [&] { return Injection(pid, patience_ns).take_out(); });
}

}  // namespace unfreed::trace
