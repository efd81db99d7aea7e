#include "cli/request_grading.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/process_stat.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/waiting_call.h"
#include "ledger/layout.h"

namespace unfreed::cli {

using namespace std::chrono_literals;

namespace {

/// As it is at this moment; a file may be cut short under a mapping.
bool read_header(int file, ledger::Header& header) {
  return pread(file, static_cast<void*>(&header), sizeof header, 0) == static_cast<ssize_t>(sizeof header);
}

/// Is the signal in the set that the status file calls `name`?
bool has_signal(const std::string& status_path, std::string_view name, int signal) {
  std::ifstream status(status_path);
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 16) >> (signal - 1) & 1;
  return false;
}

/// As for a main thread that has called pthread_exit while others go on.
bool has_ended(const std::string& status_path) {
  std::ifstream status(status_path);
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("State:")) return line.find('Z') != line.npos || line.find('X') != line.npos;
  return true;
}

/// Has the process a handler for the signal? Otherwise the signal would end it.
bool is_caught(int pid, int signal) { return has_signal(fmt::format("/proc/{}/status", pid), "SigCgt:", signal); }

/// Is the thread in sigwait() for that signal? sigwait() would return ours, and no handler would run.
bool waits_for(int pid, const base::WaitingCall& call, int signal) {
  if (call.number != SYS_rt_sigtimedwait) return false;
  uint64_t set = 0;
  iovec here{&set, sizeof set}, there{reinterpret_cast<void*>(call.arguments[0]), sizeof set};
  return process_vm_readv(pid, &here, 1, &there, 1, 0) != sizeof set || set >> (signal - 1) & 1;
}

/// Processor time of a thread in nanoseconds; nothing where the kernel does not say.
std::optional<uint64_t> processor_time(const std::filesystem::path& task) {
  std::ifstream file(task / "schedstat");
  uint64_t time = 0;
  if (file >> time) return time;
  return std::nullopt;
}

/// A thread that runs a handler for the signal as soon as it gets one, and what it waits in.
struct Receiver {
  int tid = 0;
  base::WaitingCall call;
};

/// Looks for one, again and again. In sigwait() the kernel does not block a signal that the thread blocks, until the
/// thread, woken, has got a processor again: one that runs, or is about to, must have run between two looks.
class ReceiverSearch {
 public:
  ReceiverSearch(int pid, int signal) : pid_(pid), signal_(signal) {}

  Receiver look() {
    std::error_code error;
    std::filesystem::directory_iterator entry(fmt::format("/proc/{}/task", pid_), error), end;
    std::map<int, uint64_t> running;
    Receiver found;
    for (; !error && entry != end && !found.tid; entry.increment(error)) found = look_at(*entry, running);
    running_ = std::move(running);
    return found;
  }

 private:
  Receiver look_at(const std::filesystem::path& task, std::map<int, uint64_t>& running) {
    int tid = base::parse_id(task.filename().native());
    Receiver receiver{tid, {}};
    base::WaitingCall before;
    base::Waiting waited = base::read_waiting_call(pid_, tid, before);
    if (has_ended(task / "status") || has_signal(task / "status", "SigBlk:", signal_)) return {};
    base::Waiting waits = base::read_waiting_call(pid_, tid, receiver.call);
    if (waits_for(pid_, before, signal_) || waits_for(pid_, receiver.call, signal_)) return {};
    bool is_unknown = waits == base::Waiting::refused;
    if (is_unknown || (waited == base::Waiting::yes && waits == base::Waiting::yes && before == receiver.call))
      return receiver;
    // Leaving sigwait() takes less time than that.
    constexpr uint64_t kRunNs = 100'000;
    std::optional<uint64_t> time = processor_time(task);
    auto earlier = running_.find(tid);
    if (!time || (earlier != running_.end() && *time >= earlier->second + kRunNs)) return receiver;
    running[tid] = earlier != running_.end() ? earlier->second : *time;
    return {};
  }

  int pid_, signal_;
  std::map<int, uint64_t> running_;  ///< threads that ran at the last look: their time when they were first seen so
};

/// To one thread: a signal for the whole process might be read by one that waits for signals. False: see errno.
bool send_request(int pid, int signal, uint32_t request, const Receiver& receiver) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = reinterpret_cast<void*>(uintptr_t{base::digest(receiver.call)} << 32 | request);
  return syscall(SYS_rt_tgsigqueueinfo, pid, receiver.tid, signal, &info) == 0;
}

/// Asks one process for things, by a signal that it takes.
class Request {
 public:
  Request(int pid, int file) : pid_(pid), file_(file) {}

  /// Its ledger's header is read anew. False: it cannot be.
  bool look() { return read_header(file_, header_); }
  const ledger::Header& header() const { return header_; }
  bool takes_requests() const { return header_.report_signal >= 1 && is_caught(pid_, header_.report_signal); }

  /// Waits for a thread that takes the signal, for that long. False: see errno; ESRCH: there was none.
  bool send(uint32_t request, std::chrono::milliseconds patience) {
    ReceiverSearch search(pid_, header_.report_signal);
    Receiver receiver = search.look();
    for (auto until = std::chrono::steady_clock::now() + patience;
         !receiver.tid && std::chrono::steady_clock::now() < until;) {
      std::this_thread::sleep_for(1ms);
      receiver = search.look();
    }
    errno = ESRCH;
    // It may have executed another program meanwhile, which the signal would end.
    return receiver.tid && takes_requests() && send_request(pid_, header_.report_signal, request, receiver);
  }

  enum class Copy { none, runs, waits, unknown };
  /// The copy of the process that searches; `waits`: it has ended, and waits to be collected.
  Copy copy() const {
    int number = header_.own_copy.load(std::memory_order_acquire);
    if (!number) return Copy::none;
    // In another pid namespace it is another process's.
    base::ProcessStat stat = base::read_process_stat(fmt::format("/proc/{}/stat", number).c_str());
    if (number == ledger::kCopyBeingMade || !stat.is_known || stat.parent != pid_) return Copy::unknown;
    return stat.state == 'Z' ? Copy::waits : Copy::runs;
  }

  /// When it has ended; the process does so, too, before it makes its next report, executes a program or ends.
  void have_copy_collected() {
    auto until = std::chrono::steady_clock::now() + 2s;
    for (auto pause = 1ms; std::chrono::steady_clock::now() < until; pause *= 2) {
      std::this_thread::sleep_for(pause);
      if (!look() || copy() == Copy::none) return;
      if (copy() != Copy::runs) send(ledger::kCollectRequest, 100ms);
    }
  }

 private:
  int pid_, file_;
  ledger::Header header_{};
};

}  // namespace

bool request_grading(int pid, int file, std::string& error) {
  auto request = std::make_unique<Request>(pid, file);
  if (!request->look() || !request->takes_requests()) {
    error = fmt::format(
        "process {} takes no requests: UNFREED_SIGNAL is off, or the program uses that signal itself, and no other may "
        "be used",
        pid);
    return false;
  }
  uint64_t asked_ns = base::monotonic_ns();
  // For a moment, libc and the runtime block signals.
  if (!request->send(ledger::kGradingRequest, 1s)) {
    error = errno == ESRCH ? fmt::format("process {} takes no requests: all its threads block the signal {}", pid,
                                         request->header().report_signal)
                           : fmt::format("process {} cannot be asked: {}", pid, std::strerror(errno));
    return false;
  }
  constexpr auto kPatience = 15s;
  auto until_asked_again = 200ms;
  auto asked = std::chrono::steady_clock::now();
  for (auto until = asked + kPatience; std::chrono::steady_clock::now() < until;) {
    if (!request->look()) break;
    const ledger::Header& header = request->header();
    auto grading = static_cast<ledger::Grading>(header.grading.load(std::memory_order_acquire));
    if (grading != ledger::Grading::none && header.graded_monotonic_ns >= asked_ns) {
      request->have_copy_collected();
      return true;
    }
    if (kill(pid, 0) != 0 && errno == ESRCH) break;
    // It was making another report, or its copy has ended without an answer.
    bool is_late = std::chrono::steady_clock::now() - asked > until_asked_again;
    Request::Copy copy = request->copy();
    if (is_late && (copy == Request::Copy::none || copy == Request::Copy::waits)) {
      request->send(copy == Request::Copy::none ? ledger::kGradingRequest : ledger::kCollectRequest, 0ms);
      asked = std::chrono::steady_clock::now();
      until_asked_again *= 2;
    }
    std::this_thread::sleep_for(1ms);
  }
  error = fmt::format("process {} did not answer: it has ended, is stopped, or is making another report", pid);
  return false;
}

}  // namespace unfreed::cli
