#include "cli/kernel_report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/live_thread.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/time_text.h"
#include "cli/ledger_files.h"
#include "evaluate/hints.h"
#include "kernel/kernel_facts.h"
#include "trace/process_files.h"

namespace unfreed::cli {

namespace {

constexpr size_t kMostDescriptors = 20'000;
constexpr size_t kMostThreads = 2'000;

/// The number after `key` in a file of lines "key:  123 kB"; 0 if there is none.
uint64_t number_after(std::string_view text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(key)) continue;
    uint64_t number = 0;
    line.remove_prefix(std::min(line.find_first_of("0123456789", key.size()), line.size()));
    base::take_number(line, number);
    return number;
  }
  return 0;
}

class KernelReport {
 public:
  KernelReport(int pid, OwnedReport& made)
      : pid_(pid), files_(base::live_thread(pid)), made_(made), out_(made.report) {}

  void describe() {
    out_.trigger = report::Trigger::snapshot;
    out_.complete = false;
    out_.backend = "kernel";
    for (ledger::Coverage& coverage : out_.coverage) coverage = ledger::Coverage::unavailable;
    describe_process();
    describe_memory();
    describe_descriptors();
    describe_threads();
    if (has_library()) {
      note(
          "the process has loaded libunfreed.so, but no ledger of it can be read: this is what the kernel knows, which "
          "is "
          "not who acquired what");
      note("its report at the end tells more; or start it where ledgers can be kept: /dev/shm, or UNFREED_LEDGER_DIR");
    } else {
      note("the process was not started under unfreed: this is what the kernel knows, which is not who acquired what");
      note("next: start it with 'unfreed run' (or with LD_PRELOAD set to libunfreed.so), and take a snapshot of that");
    }
    note(
        "the kernel does not record how long a descriptor has been open: `unfreed diff` of two snapshots shows what "
        "has "
        "grown");
  }

 private:
  report::Text copy(std::string_view text) { return made_.arena.copy(text); }
  void note(std::string_view text) { out_.notes.add(made_.arena, copy(text)); }

  bool has_library() {
    std::string maps = files_.read("maps");
    return maps.find("/libunfreed.so") != std::string::npos || maps.find("/libunfreed-musl.so") != std::string::npos;
  }

  void describe_process() {
    report::Process& process = out_.process;
    process.pid = pid_;
    process.ppid = files_.parent();
    process.exe = copy(files_.link("exe"));
    process.directory = copy(files_.link("cwd"));
    std::string arguments = files_.read("cmdline");
    for (size_t at = 0; at < arguments.size();) {
      size_t end = std::min(arguments.find('\0', at), arguments.size());
      process.argv.add(made_.arena, copy(std::string_view(arguments).substr(at, end - at)));
      at = end + 1;
    }
    uint64_t ticks_per_second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
    uint64_t started_ns = files_.start_ticks() * (1'000'000'000 / ticks_per_second);
    uint64_t now_ns = ledger::boottime_ns();
    process.duration_ns = now_ns > started_ns ? now_ns - started_ns : 0;
    char text[40];
    process.started = copy(base::format_time(files_.started_realtime_ns(), text));
  }

  void describe_memory() {
    constexpr uint64_t kKib = 1024;
    std::string status = files_.read("status");
    report::Memory memory;
    memory.resident = number_after(status, "VmRSS:") * kKib;
    memory.anonymous = number_after(status, "RssAnon:") * kKib;
    memory.file = number_after(status, "RssFile:") * kKib;
    memory.shared = number_after(status, "RssShmem:") * kKib;
    memory.swapped = number_after(status, "VmSwap:") * kKib;
    out_.memory = memory;
    rlimit limit{};
    if (prlimit(pid_, RLIMIT_NOFILE, nullptr, &limit) == 0) out_.fd_limit = limit.rlim_cur;
  }

  void describe_descriptors() {
    std::vector<int> numbers = files_.numbers("fd");
    std::sort(numbers.begin(), numbers.end());
    if (numbers.size() > kMostDescriptors) {
      out_.descriptors_omitted = numbers.size() - kMostDescriptors;
      numbers.resize(kMostDescriptors);
    }
    std::vector<report::KernelState> states;
    for (int number : numbers) {
      ledger::KernelFd found;
      base::FixedText<4200> target;
      if (!report::describe_descriptor(pid_, number, found, target)) continue;
      report::Descriptor* one = out_.descriptors.add(made_.arena);
      if (!one) return;
      one->fd = number;
      one->origin = number <= STDERR_FILENO ? "standard" : "unattributed";
      one->target = copy(target.text());
      states.push_back({one->target, found.flags});
      uint32_t access = found.status_flags & O_ACCMODE;
      one->flags.add(made_.arena, access == O_RDONLY ? "read" : access == O_WRONLY ? "write" : "read_write");
      if (found.flags & ledger::kKernelFdCloexec) one->flags.add(made_.arena, "cloexec");
      if (found.flags & ledger::kKernelFdHungUp) one->flags.add(made_.arena, "hung_up");
      if (found.flags & ledger::kKernelFdLocked) one->flags.add(made_.arena, "locked");
      if (found.flags & ledger::kKernelFdUnread) one->flags.add(made_.arena, "unread");
    }
    report::add_hints_of_process(states, out_, made_.arena);
  }

  void describe_threads() {
    std::vector<int> numbers = files_.numbers("task");
    for (int number : numbers) {
      if (out_.threads.size() == kMostThreads) {
        out_.threads_omitted = numbers.size() - kMostThreads;
        return;
      }
      std::string folder = fmt::format("task/{}/", number);
      std::string status = files_.read(folder + "status");
      report::Thread* thread = status.empty() ? nullptr : out_.threads.add(made_.arena);
      if (!thread) continue;
      thread->thread = number;
      std::string name = files_.read(folder + "comm");
      if (name.ends_with('\n')) name.pop_back();
      thread->name = copy(name);
      thread->thread_class = number == pid_ ? "main" : "unattributed";
      thread->state = "running";
      if (size_t at = status.find("State:\t"); at != std::string::npos)
        thread->kernel_state = copy(status.substr(at + 7, 1));
      // A symbol, or 0 for one that runs (or if it may not be seen).
      if (std::string place = files_.read(folder + "wchan"); place != "0") thread->waits_in = copy(place);
    }
  }

  int pid_;
  trace::ProcessFiles files_;
  OwnedReport& made_;
  report::Report& out_;
};

}  // namespace

std::optional<OwnedReport> make_kernel_report(int pid, std::string& error) {
  // The main thread may have ended, and has nothing then.
  if (access(fmt::format("/proc/{}/fd", base::live_thread(pid)).c_str(), R_OK) != 0) {
    error = fmt::format("process {} cannot be examined: {}", pid, std::strerror(errno));
    return {};
  }
  std::optional<OwnedReport> made(std::in_place);
  KernelReport(pid, *made).describe();
  if (made->report.process.argv.empty() && made->report.descriptors.empty()) {
    error = fmt::format("process {} has nothing to look at: it is one of the kernel's, or has just ended", pid);
    return {};
  }
  return made;
}

}  // namespace unfreed::cli
