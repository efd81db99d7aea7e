#include "trace/observe_loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/live_thread.h"
#include "base/syscall.h"
#include "base/text.h"
#include "trace/mapped_files.h"
#include "trace/process_files.h"

namespace unfreed::trace {

namespace {

/// The kernel wakes the observer only when much waits for it.
constexpr int kOftenMilliseconds = 5;

/// In the order from the root.
std::string path_of(std::span<const std::byte> names) {
  std::string_view text(reinterpret_cast<const char*>(names.data()), names.size());
  std::string path;
  while (!text.empty()) {
    size_t end = std::min(text.find('\0'), text.size());
    path.insert(0, text.substr(0, end)).insert(0, 1, '/');
    text.remove_prefix(std::min((end + 8) & ~size_t{7}, text.size()));
  }
  return path;
}

std::vector<int> numbers_in(std::span<const std::byte> table) {
  std::vector<int> numbers;
  for (size_t at = 0; at < table.size() * 8; ++at)
    if (static_cast<unsigned>(table[at / 8]) >> (at % 8) & 1) numbers.push_back(static_cast<int>(at));
  return numbers;
}

}  // namespace

struct ObserveLoop::Pieces {
  Pieces(int tid, std::span<const std::byte> bytes);

  ThreadMemory memory;
  bool has_table = false;
  std::vector<int> open;  ///< all, if there is a table
  std::string path, name, arguments;
  std::span<const std::byte> auxiliary;
};

ObserveLoop::Pieces::Pieces(int tid, std::span<const std::byte> bytes) : memory(ThreadMemory::copied(tid)) {
  KernelPiece piece;
  while (bytes.size() >= sizeof piece) {
    std::memcpy(&piece, bytes.data(), sizeof piece);
    bytes = bytes.subspan(sizeof piece);
    if (piece.bytes > bytes.size()) return;
    std::span<const std::byte> value = bytes.first(piece.bytes);
    std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    switch (piece.kind) {
      case kPieceMemory:
      case kPieceStack:
        memory.add(piece.address, value);
        break;
      case kPieceTable:
        has_table = piece.address == 0;
        open = numbers_in(value);
        break;
      case kPiecePath:
        path = path_of(value);
        break;
      case kPieceName:
        name = text.substr(0, text.find('\0'));
        break;
      case kPieceArguments:
        arguments = text;
        break;
      case kPieceAuxiliary:
        auxiliary = value;
        break;
      default:
        break;
    }
    bytes = bytes.subspan(std::min<size_t>((piece.bytes + 7u) & ~7u, bytes.size()));
  }
}

ObserveLoop::ObserveLoop(TraceSetup setup, KernelOptions options) : recorder_(std::move(setup)), options_(options) {
  recorder_.setup().ledgers.is_observed = true;
}

std::string ObserveLoop::prepare() {
  std::string problem;
  options_.follows_children = recorder_.setup().follows_children;
  kernel_ = KernelSide::load(
      options_, [this](const KernelEvent& event, std::span<const std::byte> pieces) { take(event, pieces); }, problem);
  return problem;
}

int ObserveLoop::seize(int pid) {
  recorder_.setup().ledgers.command_pid = pid;
  recorder_.add(pid);
  return kernel_->watch(pid) ? 0 : ENOSPC;
}

void ObserveLoop::run(int socket) {
  // Without the launcher nobody makes reports, and the kernel would tell in vain.
  while (!recorder_.processes().empty() && !is_launcher_gone_) turn(socket);
}

/// Takes what there is once there is much, after a moment, or when it is asked to (−1: nobody asks).
void ObserveLoop::turn(int socket) {
  pollfd waited_for[] = {{kernel_->descriptor(), POLLIN, 0}, {socket, POLLIN, 0}};
  poll(waited_for, std::size(waited_for), kOftenMilliseconds);
  char asked;
  ssize_t got = socket >= 0 ? recv(socket, &asked, sizeof asked, MSG_DONTWAIT) : -1;
  bool is_asked = got > 0;
  is_launcher_gone_ = got == 0;
  bool is_idle = !kernel_->take_events();
  take_losses();
  if (is_idle && has_losses_) look_for_ended();
  if (is_asked) send(socket, &asked, sizeof asked, MSG_NOSIGNAL);
}

/// That it began was not told, for want of room: what it has is not known.
TracedProcess* ObserveLoop::adopt(int pid) {
  if (ProcessFiles(pid).has_ended()) return nullptr;
  TracedProcess& process = recorder_.add(pid);
  process.is_forked = true;
  process.has_losses = true;
  process.is_tracked = recorder_.is_tracked_here(pid, identify(pid));
  if (process.is_tracked) process.code = std::make_shared<CodeSpace>(pid);
  return &process;
}

void ObserveLoop::take(const KernelEvent& event, std::span<const std::byte> bytes) {
  auto pid = static_cast<int>(event.process);
  TracedProcess* process = recorder_.find(pid);
  if (!process && event.type != kEventEnded) process = adopt(pid);
  if (!process) return;
  Pieces pieces(static_cast<int>(event.thread), bytes);
  arch::TracedRegisters registers;
  std::memcpy(&registers.raw, event.registers, std::min(sizeof registers.raw, sizeof event.registers));
  Caller caller{event.row, registers, pieces.memory, event.time_ns};
  switch (event.type) {
    case kEventCallBegins:
      call_begins(*process, caller);
      break;
    case kEventCallEnded:
      if (process->is_tracked && event.row < calls().size()) recorder_.call_returned(*process, caller, is_attached_);
      break;
    case kEventForked:
      forked(*process, event, caller, pieces);
      break;
    case kEventExecuted:
      executed(*process, event, pieces);
      break;
    case kEventMapped:
      if (process->mapped)
        process->mapped->add(event.numbers[kMappedStart], event.numbers[kMappedBytes], event.numbers[kMappedOffset],
                             pieces.path);
      break;
    case kEventEnded:
      ended(*process, event, pieces);
      break;
    default:
      break;
  }
}

void ObserveLoop::call_begins(TracedProcess& process, const Caller& caller) {
  if (!process.is_tracked || caller.hook >= calls().size()) return;
  Effect effect = calls()[caller.hook].effect;
  if (effect == Effect::exits)
    process.is_ending = true;
  else if (effect == Effect::closes_range)
    recorder_.close_range_begins(process, caller);
  else
    recorder_.close_begins(process, caller);
}

void ObserveLoop::forked(TracedProcess& parent, const KernelEvent& event, const Caller& caller, const Pieces& pieces) {
  auto pid = static_cast<int>(event.numbers[kForkedProcess]);
  auto tid = static_cast<int>(event.numbers[kForkedThread]);
  Caller creator = caller;
  creator.hook = static_cast<uint16_t>(std::max(find_call(caller.registers.call()), 0));
  TracedLedger* ledger = recorder_.ledger_of(parent);
  if (pid == parent.pid) {
    parent.threads.insert(tid);
    if (ledger) ledger->thread_started(tid, creator);
    return;
  }
  if (ledger) ledger->child_started(pid, creator);
  if (!recorder_.setup().follows_children && is_attached_) return;
  TracedProcess& child = recorder_.add(pid);
  child.is_tracked = parent.is_tracked;
  child.is_forked = true;
  child.has_losses = parent.has_losses;
  child.code = parent.code;
  child.mapped = parent.mapped;
  child.identity = parent.identity;
  child.identity.parent = parent.pid;
  child.identity.start_ticks = ticks_of(event.numbers[kForkedStart]);
  child.begun = ProcessBeginning{child.identity, pieces.open, {}};
  if (event.numbers[kForkedSharesFiles])
    child.files_of = parent.files_of ? parent.files_of : parent.pid;
  else
    recorder_.keep_parents_fds(parent, child);
  if (recorder_.setup().wants_all_reports) recorder_.ledger_of(child);
}

void ObserveLoop::executed(TracedProcess& process, const KernelEvent& event, const Pieces& pieces) {
  ProcessIdentity identity;
  identity.exe = pieces.path;
  identity.arguments = pieces.arguments;
  identity.directory = ProcessFiles(process.pid).link("cwd");
  identity.program = base::base_name(pieces.name.starts_with("/dev/fd/") ? pieces.path : pieces.name);
  identity.parent = static_cast<int>(event.numbers[kExecutedParent]);
  identity.user = static_cast<unsigned>(event.numbers[kExecutedUser]);
  identity.start_ticks = ticks_of(event.numbers[kExecutedStart]);
  // After close-on-exec has been done.
  recorder_.note_exec_leaks(process, identity.exe, pieces.open);
  if (process.ledger) process.ledger->replaced();
  process.ledger.reset();
  process.threads = {process.pid};
  process.files_of = 0;
  process.is_forked = process.is_ending = process.is_attached = false;
  process.is_tracked = recorder_.is_tracked_here(process.pid, identity);
  process.mapped = std::make_shared<MappedFiles>(identity.exe, pieces.auxiliary);
  process.code = process.is_tracked ? std::make_shared<CodeSpace>(process.pid, process.mapped) : nullptr;
  process.begun = ProcessBeginning{identity, pieces.open, {}};
  process.identity = std::move(identity);
  recorder_.ledger_of(process);
}

/// A thread; with the last one its process.
void ObserveLoop::ended(TracedProcess& process, const KernelEvent& event, const Pieces& pieces) {
  auto status = static_cast<int>(event.result);
  auto tid = static_cast<int>(event.thread);
  process.threads.erase(tid);
  process.is_ending = process.is_ending || WIFSIGNALED(status);
  TracedProcess* parent =
      event.numbers[kEndedForgotten] ? recorder_.find(static_cast<int>(event.numbers[kEndedParent])) : nullptr;
  if (parent && parent->ledger) parent->ledger->child_reaped(process.pid);
  if (event.numbers[kEndedProcess]) {
    int pid = process.pid;
    end(process, pieces.has_table ? &pieces.open : nullptr,
        WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status), event.time_ns);
    recorder_.note_end(pid, status);
  } else if (!process.is_ending && process.ledger)
    process.ledger->thread_ended(tid);
}

void ObserveLoop::end(TracedProcess& process, const std::vector<int>* open, int status, uint64_t now_ns) {
  take_losses();  // the end may have found room where other events did not
  if (process.ledger) {
    if (process.has_losses) process.ledger->lose_calls();
    process.ledger->end(
        open, [this](int child) { return recorder_.find(child) != nullptr; }, status, now_ns);
    process.ledger->finish();
  }
  recorder_.remove(process.pid);
}

void ObserveLoop::take_losses() {
  kernel_->take_losses([this](int pid) {
    has_losses_ = true;
    TracedProcess* process = recorder_.find(pid);
    if (!process || process->has_losses) return;
    process->has_losses = true;
    // Also one that has told nothing: rules must not pass on it.
    if (TracedLedger* ledger = recorder_.ledger_of(*process)) ledger->lose_calls();
  });
}

/// Those whose end was not told, for want of room.
void ObserveLoop::look_for_ended() {
  std::vector<int> gone;
  for (const auto& [pid, process] : recorder_.processes())
    if (ProcessFiles(pid).has_ended()) gone.push_back(pid);
  // What was told meanwhile comes first.
  while (!gone.empty() && kernel_->take_events()) {
  }
  for (int pid : gone)
    if (TracedProcess* process = recorder_.find(pid)) end(*process, nullptr, 0, base::monotonic_ns());
}

Attached ObserveLoop::attach(int pid) {
  Attached out;
  is_attached_ = true;
  out.problem = prepare();
  out.error = out.problem.empty() ? 0 : EPERM;
  if (out.error) return out;
  recorder_.setup().ledgers.is_attachment = true;
  recorder_.setup().ledgers.command_pid = pid;
  watch_others(out);
  TracedProcess* process = pid ? watch(pid, out) : nullptr;
  if (pid ? !process : !out.processes) out.error = ESRCH;
  if (process && !recorder_.ledger_of(*process)) out.error = ENOSPC;
  return out;
}

/// What one that is watched starts is told of; what it started before, the next list has.
void ObserveLoop::watch_others(Attached& out) {
  constexpr int kMostLists = 100;
  bool any_new = recorder_.setup().list_others != nullptr;
  for (int lists = 0; any_new && lists < kMostLists; ++lists) {
    any_new = false;
    for (int other : recorder_.setup().list_others())
      any_new = (!recorder_.find(other) && watch(other, out)) || any_new;
  }
}

/// One that runs. What changes while its lists are read is told of, too, and makes them right.
TracedProcess* ObserveLoop::watch(int pid, Attached& out) {
  ProcessIdentity identity = identify(pid);
  // One that has ended before it was watched is not told of.
  if (identity.exe.empty() || !kernel_->watch(pid) || ProcessFiles(pid).has_ended()) return nullptr;
  TracedProcess& process = recorder_.add(pid);
  process.is_attached = true;
  process.is_tracked = recorder_.is_tracked_here(pid, identity);
  process.begun = held_by(base::live_thread(pid));
  process.begun->identity = identity;
  process.identity = std::move(identity);
  std::vector<int> threads = ProcessFiles(pid).numbers("task");
  process.threads = std::set<int>(threads.begin(), threads.end());
  ++out.processes;
  out.threads += static_cast<int>(threads.size());
  out.descriptors += static_cast<int>(process.begun->open.size());
  return &process;
}

void ObserveLoop::run_attached(const std::atomic<bool>& is_asked, int has_ended) {
  while (!is_asked && !recorder_.processes().empty()) turn(-1);
  take_last_facts();
  eventfd_write(has_ended, 1);
}

/// They run on while their lists are read: what is told of later is compared once more.
void ObserveLoop::take_last_facts() {
  constexpr int kMostTurns = 1000;
  constexpr uint64_t kLongestCloseNs = 100'000'000;
  uint64_t since = base::monotonic_ns();
  auto each_live = [&](auto visit) {
    for (const auto& [pid, process] : recorder_.processes()) {
      int live = base::live_thread(pid);
      if (process->ledger && live > 0) visit(*process->ledger, live);
    }
  };
  each_live([](TracedLedger& ledger, int tid) { ledger.take_facts(tid); });
  for (int turn = 0; turn < kMostTurns && kernel_->take_events(); ++turn) {
  }
  take_losses();
  each_live([&](TracedLedger& ledger, int tid) { ledger.recheck_facts(tid, since - kLongestCloseNs); });
}

}  // namespace unfreed::trace
