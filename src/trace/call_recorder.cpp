#include "trace/call_recorder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "base/syscall.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "elf/preload.h"
#include "elf/runtime_library.h"
#include "ledger/wait_status.h"
#include "settings/settings.h"
#include "trace/process_files.h"

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
  if (!may_be_stopped || !caller.memory.read_value(caller.registers.argument(1), status)) return !may_be_stopped;
  return WIFEXITED(status) || WIFSIGNALED(status);
}

}  // namespace

TracedProcess* CallRecorder::find(int pid) {
  auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : found->second.get();
}

TracedProcess& CallRecorder::add(int pid) {
  auto made = std::make_unique<TracedProcess>();
  made->pid = pid;
  made->threads.insert(pid);
  return *(processes_[pid] = std::move(made));
}

TracedLedger* CallRecorder::ledger_of(TracedProcess& process) {
  if (!process.is_tracked || process.has_ended) return nullptr;
  if (process.ledger) return process.ledger.get();
  std::string error;
  if (!process.begun) process.begun = beginning_of(process.pid);
  if (!process.code) process.code = std::make_shared<CodeSpace>(process.pid);
  if (process.is_attached) setup_.ledgers.is_attached = true;
  process.ledger =
      TracedLedger::make(setup_.ledgers, process.pid, *process.code, process.is_forked, *process.begun, error);
  std::string program = process.begun->identity.exe;
  process.begun.reset();
  if (process.is_attached) setup_.ledgers.is_attached = false;
  process.ledger_number = next_ledger_++;
  if (process.ledger && process.library_coverage) process.ledger->take_library_coverage(*process.library_coverage);
  if (process.ledger && process.has_library_part) process.ledger->expect_library_part();
  if (process.ledger) return process.ledger.get();
  process.is_tracked = false;
  if (!note_untracked(process.pid, elf::Obstacle::no_ledger, program)) count_untracked(process.pid);
  return nullptr;
}

TracedLedger* CallRecorder::files_ledger_of(TracedProcess& process) {
  TracedProcess* owner = process.files_of ? find(process.files_of) : nullptr;
  return ledger_of(owner ? *owner : process);
}

void CallRecorder::keep_library_coverage(const TracedProcess& parent, TracedProcess& child) const {
  if (!setup_.ledgers.has_runtime) return;
  child.library_coverage = library_file(parent.pid).coverages();
  if (!child.library_coverage) child.library_coverage = parent.library_coverage;
}

void CallRecorder::keep_parents_fds(const TracedProcess& parent, TracedProcess& child) const {
  child.parents_fds = parent.parents_fds;
  if (!parent.ledger) return;
  const ledger::Writer& writer = parent.ledger->writer();
  auto count = static_cast<int>(writer.section(ledger::SectionId::fds).count.load());
  for (int fd = 3; fd < count; ++fd) {
    const FdRecord* record = parent.ledger->record_of(fd);
    uint64_t word = record ? record->word.load(std::memory_order_relaxed) : 0;
    FdOrigin origin = ledger::fd_origin(word);
    if (word && (origin == FdOrigin::acquired || origin == FdOrigin::received))
      child.parents_fds[fd] = {parent.pid, parent.ledger_number, word};
  }
}

void CallRecorder::note_exec_leaks(TracedProcess& process, const std::string& program, const std::vector<int>& open) {
  if (process.parents_fds.empty()) return;
  const report::NumberRanges& allowed = setup_.ledgers.settings->inheritable;
  for (int fd : open) {
    auto found = process.parents_fds.find(fd);
    if (found == process.parents_fds.end()) continue;
    bool is_allowed = false;
    for (size_t at = 0; at < allowed.count; ++at)
      is_allowed |= fd >= allowed.ranges[at].first && fd <= allowed.ranges[at].last;
    TracedProcess* parent = find(found->second.parent);
    if (!is_allowed && parent && parent->ledger && !parent->has_ended && parent->ledger_number == found->second.ledger)
      parent->ledger->exec_leaked(fd, found->second.word, process.pid, program);
  }
  process.parents_fds.clear();
}

/// In the ledger of its parent, or of any other process: the launcher adds them up.
void CallRecorder::count_untracked(int pid) {
  TracedProcess* teller = find(ProcessFiles(pid).parent());
  auto has_ledger = [](const TracedProcess* process) { return process && process->ledger; };
  for (auto& [number, process] : processes_) {
    if (has_ledger(teller)) break;
    teller = process.get();
  }
  if (has_ledger(teller)) teller->ledger->writer().drop(ledger::Dropped::children_untracked);
}

/// On the run's board, as the hooks of exec do it. False: there is no room for the board either.
bool CallRecorder::note_untracked(int pid, elf::Obstacle obstacle, const std::string& program) {
  using Board = ledger::UntrackedBoard;
  if (!board_ && !setup_.board.empty()) {
    base::UniqueFd file(base::open_file(setup_.board.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    void* place = file ? mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) : MAP_FAILED;
    if (place != MAP_FAILED) board_ = static_cast<Board*>(place);
  }
  if (!board_ || !ledger::back_shared_memory(reinterpret_cast<std::byte*>(board_), sizeof(Board))) return false;
  uint32_t index = board_->count.fetch_add(1, std::memory_order_acq_rel);
  if (index >= Board::kRecords) {
    board_->dropped.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  ledger::Untracked& record = board_->records[index];
  record.obstacle = static_cast<uint8_t>(obstacle);
  record.pids[0].store(pid, std::memory_order_relaxed);
  record.started_ns[0].store(base::monotonic_ns(), std::memory_order_relaxed);
  record.processes_noted.store(1, std::memory_order_relaxed);
  record.count.store(1, std::memory_order_relaxed);
  base::TextBuilder(record.program).add(program);
  record.state.store(ledger::kUntrackedValid, std::memory_order_release);
  return true;
}

bool CallRecorder::is_tracked_here(int pid, const ProcessIdentity& identity) {
  ProcessFiles files(pid);
  std::string exe = "/proc/" + std::to_string(pid) + "/exe";
  if (files.has_ended()) exe = identity.exe;
  bool is_there = false;
  elf::Verdict verdict = elf::judge(exe.c_str(), AT_FDCWD, is_there);
  std::string preload = files.variable("LD_PRELOAD");
  std::string_view entry;
  elf::any_preload_entry(preload, [&](std::string_view one) {
    if (elf::is_own_library(base::base_name(one))) entry = one;
    return !entry.empty();
  });
  elf::accept_musl(entry, verdict);
  elf::Obstacle obstacle = verdict.obstacle;
  if (!report::is_wanted(*setup_.ledgers.settings, identity.program)) return false;
  if (obstacle == elf::Obstacle::other_processor) {
    if (!note_untracked(pid, obstacle, identity.exe)) count_untracked(pid);  // its calls have other numbers
    return false;
  }
  if (setup_.traces_all || obstacle != elf::Obstacle::none) return true;
  return entry.empty() || files.variable("UNFREED_SESSION").empty();
}

bool CallRecorder::is_runtimes(TracedProcess& process, int tid, const arch::TracedRegisters& registers) {
  if (!setup_.ledgers.has_runtime || !process.is_tracked) return false;
  if (!process.code) process.code = std::make_shared<CodeSpace>(process.pid);
  return elf::is_own_library(base::base_name(process.code->file_at(tid, registers.pc())));
}

void CallRecorder::note_runtimes_call(TracedProcess& process, const Caller& caller) {
  const Call& call = calls()[caller.hook];
  if (process.has_library_part || call.effect != Effect::opens_path) return;
  uint64_t path = caller.registers.argument(static_cast<unsigned>(call.argument));
  if (!caller.memory.read_text(path, PATH_MAX).ends_with(ledger::kLibrarySuffix)) return;
  process.has_library_part = true;
  if (process.ledger) process.ledger->expect_library_part();
}

TracedLedger* CallRecorder::last_ledger_of(TracedProcess& process) {
  return process.has_library_part ? ledger_of(process) : process.ledger.get();
}

/// False: it is not known to be open, so the result matters.
bool CallRecorder::close_begins(TracedProcess& process, const Caller& caller) {
  int fd = static_cast<int>(caller.registers.argument(0));
  process.parents_fds.erase(fd);
  bool has_ledger = process.ledger || process.files_of;
  TracedLedger* ledger = has_ledger ? files_ledger_of(process) : nullptr;
  if (!ledger) {
    if (process.begun) std::erase(process.begun->open, fd);
    return true;
  }
  if (!ledger->is_open(fd)) return false;
  ledger->closed(fd, caller);
  return true;
}

void CallRecorder::close_range_begins(TracedProcess& process, const Caller& caller) {
  constexpr uint64_t kCloexec = 1u << 2;
  if (caller.registers.argument(2) & kCloexec) return;
  auto first = static_cast<unsigned>(caller.registers.argument(0));
  auto last = static_cast<unsigned>(caller.registers.argument(1));
  std::erase_if(process.parents_fds, [&](const auto& one) {
    return static_cast<unsigned>(one.first) >= first && static_cast<unsigned>(one.first) <= last;
  });
  TracedLedger* ledger = process.ledger || process.files_of ? files_ledger_of(process) : nullptr;
  if (!ledger && process.begun)
    std::erase_if(process.begun->open,
                  [&](int fd) { return static_cast<unsigned>(fd) >= first && static_cast<unsigned>(fd) <= last; });
  uint64_t count = ledger ? ledger->writer().section(ledger::SectionId::fds).count.load() : 0;
  for (uint64_t fd = first; fd < count && fd <= last; ++fd)
    if (ledger->is_open(static_cast<int>(fd))) ledger->closed(static_cast<int>(fd), caller);
}

void CallRecorder::call_returned(TracedProcess& process, const Caller& caller, bool is_attached) {
  const Call& call = calls()[caller.hook];
  long result = caller.registers.result();
  if (call.effect == Effect::closes) {
    TracedLedger* ledger = result == -EBADF ? files_ledger_of(process) : nullptr;
    if (ledger) ledger->bad_close(static_cast<int>(caller.registers.argument(0)), caller);
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
      return message_received(process, caller, caller.registers.argument(static_cast<unsigned>(call.argument)));
    case Effect::receives_many:
      for (long at = 0; at < result; ++at)
        message_received(process, caller,
                         caller.registers.argument(static_cast<unsigned>(call.argument)) +
                             static_cast<uintptr_t>(at) * sizeof(mmsghdr));
      return;
    case Effect::reaps:
    case Effect::reaps_info:
      return child_reaped(process, caller, call, is_attached);
    case Effect::opens_unless_old:
      if (static_cast<int>(caller.registers.argument(0)) == -1) fd_made(process, caller, call);
      return;
    case Effect::replaces:
      if (caller.registers.argument(0) != caller.registers.argument(1)) fd_made(process, caller, call);
      return;
    case Effect::starts:
      return;
    default:
      return fd_made(process, caller, call);
  }
}

void CallRecorder::fd_made(TracedProcess& process, const Caller& caller, const Call& call) {
  int fd = static_cast<int>(caller.registers.result());
  process.parents_fds.erase(fd);
  TracedLedger* ledger = files_ledger_of(process);
  FdRecord* record = ledger ? ledger->acquired(fd, caller) : nullptr;
  if (!record || call.argument < 0) return;
  uint64_t argument = caller.registers.argument(static_cast<unsigned>(call.argument));
  if (call.effect == Effect::opens_path) {
    ledger->set_path(*record, caller.memory.read_text(argument, PATH_MAX));
  } else if (call.effect == Effect::duplicates || call.effect == Effect::replaces) {
    ledger->set_same(*record, static_cast<int>(argument));
  } else if (call.effect == Effect::opens_peer && argument) {
    char address[sizeof ledger::FdTarget::value];
    uint32_t size = 0;
    if (!caller.memory.read_value(caller.registers.argument(static_cast<unsigned>(call.argument) + 1), size)) return;
    size = std::min<uint32_t>(size, sizeof address);
    if (caller.memory.read(argument, address, size) == static_cast<long>(size))
      ledger->set_peer(*record, {address, size});
  }
}

void CallRecorder::pair_made(TracedProcess& process, const Caller& caller, const Call& call) {
  int fds[2];
  if (!caller.memory.read_value(caller.registers.argument(static_cast<unsigned>(call.argument)), fds)) return;
  TracedLedger* ledger = files_ledger_of(process);
  for (int fd : fds) {
    process.parents_fds.erase(fd);
    if (ledger) ledger->acquired(fd, caller);
  }
}

void CallRecorder::message_received(TracedProcess& process, const Caller& caller, uintptr_t address) {
  msghdr header;
  if (!caller.memory.read_value(address, header) || !header.msg_control) return;
  constexpr size_t kMostControl = 64 * 1024;
  std::vector<char> control(std::min<size_t>(header.msg_controllen, kMostControl));
  long got = caller.memory.read(reinterpret_cast<uintptr_t>(header.msg_control), control.data(), control.size());
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

void CallRecorder::child_reaped(TracedProcess& process, const Caller& caller, const Call& call, bool is_attached) {
  auto pid = static_cast<int>(caller.registers.result());
  siginfo_t info{};
  if (call.effect == Effect::reaps_info) {
    bool is_only_looked_at = caller.registers.argument(3) & WNOWAIT;
    if (is_only_looked_at || !caller.memory.read_value(caller.registers.argument(2), info)) return;
    pid = info.si_pid;
  }
  // One that has stopped or goes on is still there. What has ended was seen to end before its parent could see it.
  if (pid <= 0 || find(pid) || !process.ledger) return;
  if (!is_attached || says_ended(caller, call, info)) process.ledger->child_reaped(pid);
}

void CallRecorder::note_end(int pid, int wait_status) const {
  if (setup_.ledgers.is_attachment) return;
  ledger::note_wait_status(setup_.ledgers.folder, "", {pid, setup_.ledgers.pid_namespace, 0, false}, 0, wait_status);
}

}  // namespace unfreed::trace
