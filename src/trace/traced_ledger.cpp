#include "trace/traced_ledger.h"

#include <signal.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/live_thread.h"
#include "base/syscall.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "elf/runtime_library.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "ledger/library_part.h"
#include "ledger/ownership.h"
#include "trace/calls.h"
#include "trace/process_files.h"

namespace unfreed::trace {

using ledger::FdOrigin;
using ledger::FdRecord;
using ledger::FdTargetForm;
using ledger::Kind;
using ledger::SectionId;

namespace {

std::string file_name(const ledger::FileName& name) {
  base::FixedText<64> text;
  ledger::add_file_name(text, name);
  return std::string(text.text());
}

/// The reason is part of reports.
constexpr const char* kOnlyCalls = "only system calls are seen in it (--backend=trace)";
constexpr const char* kOnlyCallsOfKernel = "only system calls are seen in it (--backend=ebpf)";
constexpr const char* kOnlyCallsSince = "only its system calls are seen, from the attachment on";

}  // namespace

std::unique_ptr<TracedLedger> TracedLedger::make(const LedgerSetup& setup, int pid, CodeSpace& code, bool is_forked,
                                                 const ProcessBeginning& begun, std::string& error) {
  std::unique_ptr<TracedLedger> made(new TracedLedger(setup, code));
  if (!made->make_file(pid, error)) return nullptr;
  made->composer_ = std::make_unique<ledger::Composer>(made->writer_);
  if (!made->composer_->prepare(ledger::Existing::left_alone)) {
    error = "there is no memory for its tables";
    unlinkat(setup.folder, file_name(made->name_).c_str(), 0);
    return nullptr;
  }
  made->stacks_ = std::make_unique<LedgerStacks>(code, *made->composer_);
  made->describe_process(pid, is_forked, begun.identity);
  made->describe_coverage();
  made->take_inherited(begun);
  made->writer_.header().state.store(static_cast<uint32_t>(ledger::State::live), std::memory_order_release);
  return made;
}

TracedLedger::~TracedLedger() {
  stacks_.reset();
  composer_.reset();
  if (writer_) munmap(writer_.base(), bytes_);
}

bool TracedLedger::make_file(int pid, std::string& error) {
  name_.pid = pid;
  name_.pid_namespace = setup_.pid_namespace;
  constexpr uint32_t kMostImages = 4096;
  constexpr int kNew = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  base::UniqueFd file(-EEXIST);
  for (name_.image = 0; file.error() == EEXIST && name_.image < kMostImages;) {
    int fd = openat(setup_.folder, file_name(name_).c_str(), kNew, 0600);
    file = base::UniqueFd(fd < 0 ? -errno : fd);
    if (file.error() == EEXIST) ++name_.image;
  }
  alignas(ledger::Header) static ledger::Header header;  // a page of zeros at first; one tracer, one thread
  std::memset(static_cast<void*>(&header), 0, sizeof header);
  ledger::lay_out(header, 8);
  bytes_ = header.file_bytes;
  void* place = MAP_FAILED;
  if (file && ftruncate(file.get(), static_cast<off_t>(bytes_)) == 0)
    place = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  folder_path_ = "/proc/self/fd/" + std::to_string(setup_.folder);
  bool has_room = place != MAP_FAILED && room_.begin(file.get(), folder_path_.c_str(), ledger::kPageBytes);
  if (!has_room && place != MAP_FAILED) errno = ENOSPC;
  has_room = has_room && ledger::back_shared_memory(static_cast<std::byte*>(place), ledger::kPageBytes);
  if (!has_room) {
    error = std::strerror(file ? errno : file.error());
    if (place != MAP_FAILED) munmap(place, bytes_);
    if (file) unlinkat(setup_.folder, file_name(name_).c_str(), 0);
    return false;
  }
  header.pid = pid;
  header.pid_namespace = setup_.pid_namespace;
  header.created_boottime_ns = ledger::boottime_ns();
  if (!ledger::is_in_memory(file.get())) header.boot = ledger::boot_number();
  std::memcpy(place, &header, sizeof header);
  populated_ = std::make_unique<std::atomic<uint8_t>[]>(bytes_ / ledger::kPageBytes + 1);
  populated_[0] = 1;
  extents_.set_whole(header);
  writer_ = ledger::Writer(place, ledger::Backing::shared_file, populated_.get(), &extents_, &room_);
  return true;
}

void TracedLedger::describe_process(int pid, bool is_forked, const ProcessIdentity& identity) const {
  std::string arguments = identity.arguments;
  if (arguments.ends_with('\0')) arguments.pop_back();
  ledger::ProcessDescription process{};
  process.pid = pid;
  process.ppid = identity.parent;
  process.uid = identity.user;
  process.exe = identity.exe;
  constexpr size_t kMostArguments = 64 * 1024;
  process.argv = std::string_view(arguments).substr(0, kMostArguments);
  process.argv_count =
      arguments.empty() ? 0 : static_cast<uint32_t>(std::count(arguments.begin(), arguments.end(), '\0')) + 1;
  process.started_realtime_ns = base::realtime_ns();
  if (setup_.is_attached) process.started_realtime_ns = ProcessFiles(pid).started_realtime_ns();
  process.started_monotonic_ns = base::monotonic_ns();
  composer_->describe(process);
  composer_->name_hooks(call_names(), static_cast<uint32_t>(calls().size()));
  ledger::Header& header = writer_.header();
  header.launcher_pid = setup_.launcher_pid;
  header.process_start_ticks = identity.start_ticks;
  header.run = writer_.add_text(setup_.run);
  header.program = writer_.add_text(identity.program);
  header.directory = writer_.add_text(identity.directory);
  std::vector<char> kept(16 * 1024);
  base::TextBuilder settings(kept);
  report::add_evaluation_settings(settings, *setup_.settings);
  header.settings = writer_.add_text(settings.text());
  header.kinds_tracked = setup_.settings->kinds;
  header.depth = setup_.settings->depth;
  uint32_t flags = ledger::kHeaderFlagTraced;
  if (setup_.is_observed) flags |= ledger::kHeaderFlagObserved;
  if (pid == setup_.command_pid) flags |= ledger::kHeaderFlagRoot;
  if (setup_.is_attached) flags |= ledger::kHeaderFlagAttached;
  if (setup_.is_attachment) flags |= ledger::kHeaderFlagOfAttachment;
  if (is_forked) flags |= ledger::kHeaderFlagForked;
  header.flags.fetch_or(flags, std::memory_order_relaxed);
}

void TracedLedger::describe_coverage() const {
  using ledger::Coverage;
  for (size_t number = 0; number < ledger::kKindCount; ++number) {
    auto kind = static_cast<Kind>(number);
    if (!(setup_.settings->kinds >> number & 1)) continue;
    bool joins_none = kind == Kind::thread && code_.is_only_go();  // Go's runtime
    if (kind == Kind::fd || kind == Kind::child || joins_none)
      writer_.cover(kind, Coverage::exact);
    else if (kind != Kind::thread)
      writer_.cover(kind, Coverage::unavailable,
                    setup_.is_attachment ? kOnlyCallsSince
                    : setup_.is_observed ? kOnlyCallsOfKernel
                                         : kOnlyCalls);
    else
      writer_.cover(kind, Coverage::partial, "whether a thread that has ended was joined cannot be seen from outside");
  }
}

void TracedLedger::take_library_coverage(const LibraryFile::Coverages& coverages) const {
  for (size_t number = 0; number < ledger::kKindCount; ++number) {
    auto covered = static_cast<ledger::Coverage>(coverages[number]);
    bool is_seen = covered == ledger::Coverage::exact || covered == ledger::Coverage::sampled;
    bool is_counted = ledger::kKindsOfTracer >> number & 1 || static_cast<Kind>(number) == Kind::thread;
    if (is_seen && !is_counted) writer_.cover(static_cast<Kind>(number), covered);
  }
  writer_.header().flags.fetch_or(ledger::kHeaderFlagJoined, std::memory_order_relaxed);
}

void TracedLedger::expect_library_part() const {
  writer_.header().flags.fetch_or(ledger::kHeaderFlagHasLibraryPart, std::memory_order_relaxed);
}

int TracedLedger::take_inherited(const ProcessBeginning& begun) {
  uint64_t now = base::monotonic_ns();
  for (int child : begun.children) {
    auto* record = composer_->add_child(child, 0, now, ledger::kChildInherited);
    if (record) children_.push_back(record);
  }
  for (int fd : begun.open)
    if (!composer_->add_fd(static_cast<uint32_t>(fd), FdOrigin::inherited, 0, now))
      writer_.drop(ledger::Dropped::fds_out_of_range);
  return static_cast<int>(begun.open.size());
}

int TracedLedger::take_held_before(int pid) { return take_inherited(held_by(pid)); }

uint32_t TracedLedger::node_of(const Caller& caller, bool& truncated) {
  uint32_t depth = setup_.settings->depth;
  std::span<const CodeFrame> frames = code_.stack_of(caller.memory, caller.registers, depth, truncated);
  if (!setup_.has_runtime) return stacks_->node(frames, truncated);
  // Hooked functions are between the program and libc.
  std::vector<CodeFrame> others;
  for (const CodeFrame& frame : frames)
    if (!frame.module || !elf::is_own_library(base::base_name(code_.modules()[frame.module - 1].path)))
      others.push_back(frame);
  return stacks_->node(others, truncated);
}

uint32_t TracedLedger::site_of(Kind kind, const Caller& caller) {
  bool truncated = false;
  uint32_t node = node_of(caller, truncated);
  uint8_t flags = truncated ? ledger::kSiteTruncated : uint8_t{0};
  return composer_->site({static_cast<uint8_t>(kind), flags, caller.hook, node}, caller.now_ns);
}

FdRecord* TracedLedger::record_of(int fd) const {
  if (fd < 0 || static_cast<uint64_t>(fd) >= writer_.section(SectionId::fds).count.load()) return nullptr;
  return writer_.touch<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd));
}

bool TracedLedger::is_open(int fd) const {
  FdRecord* record = record_of(fd);
  return record && record->word.load(std::memory_order_relaxed) != 0;
}

FdRecord* TracedLedger::acquired(int fd, const Caller& caller, FdOrigin origin) {
  // A number that is handed out again was closed by a call that was not seen.
  if (FdRecord* before = record_of(fd)) composer_->close_fd(*before, 0, 0, caller.now_ns);
  FdRecord* record = composer_->add_fd(static_cast<uint32_t>(fd), origin, site_of(Kind::fd, caller), caller.now_ns);
  if (!record) {
    writer_.drop(ledger::Dropped::fds_out_of_range);
    return nullptr;
  }
  record->tid = static_cast<uint32_t>(caller.tid());
  record->owner_kind = 0;
  record->owner = code_.is_go() ? code_.go_runtime().running_on(caller.tid(), caller.registers) : 0;
  record->flags = record->owner ? ledger::kFdGoroutine : uint16_t{0};
  return record;
}

void TracedLedger::set_target(FdRecord& record, FdTargetForm form, std::string_view value) const {
  ledger::FdTarget& target = record.target;
  target.serial.store(0, std::memory_order_relaxed);
  // The end of a path says more than its beginning; of an address it is the other way round.
  size_t most = sizeof target.value;
  target.cut = value.size() > most;
  if (target.cut) value = form == FdTargetForm::path ? value.substr(value.size() - most) : value.substr(0, most);
  target.form = static_cast<uint8_t>(form);
  target.bytes = static_cast<uint8_t>(value.size());
  std::memcpy(target.value, value.data(), value.size());
  target.serial.store(ledger::fd_serial(record.word.load(std::memory_order_relaxed)), std::memory_order_release);
}

void TracedLedger::set_path(FdRecord& record, std::string_view path) const {
  set_target(record, FdTargetForm::path, path);
}

void TracedLedger::set_peer(FdRecord& record, std::string_view address) const {
  set_target(record, FdTargetForm::peer, address);
}

void TracedLedger::set_same(FdRecord& record, int other) const {
  record.flags |= ledger::kFdPlaced;
  const FdRecord* source = record_of(other);
  if (!source) return;
  uint64_t word = source->word.load(std::memory_order_relaxed);
  const ledger::FdTarget& target = source->target;
  if (word && target.serial.load(std::memory_order_relaxed) == ledger::fd_serial(word))
    set_target(record, static_cast<FdTargetForm>(target.form), {target.value, target.bytes});
}

void TracedLedger::go_on(int fd, uint32_t site) {
  constexpr int kWidestGap = 16;  // a sweep leaves out what it wants to keep
  int distance = fd - run_.fd;
  bool goes_on = run_.site == site && distance != 0 && distance <= kWidestGap && distance >= -kWidestGap &&
                 (run_.step == 0 || (distance > 0) == (run_.step > 0));
  if (!goes_on) run_ = Run{site, fd, 0, 0, false, {}};
  run_.step = fd - run_.fd;
  run_.fd = fd;
}

void TracedLedger::closed(int fd, const Caller& caller) {
  FdRecord* record = record_of(fd);
  if (!record) return;
  uint32_t site = site_of(Kind::fd, caller);
  go_on(fd, site);
  count_close(record->word.load(std::memory_order_relaxed), site);
  composer_->close_fd(*record, site, static_cast<uint32_t>(caller.tid()), caller.now_ns);
}

/// In Go, closes may be the garbage collector's. Who is one by its functions is for the report to say.
void TracedLedger::count_close(uint64_t word, uint32_t site) {
  FdOrigin origin = ledger::fd_origin(word);
  if (!code_.is_go() || (origin != FdOrigin::acquired && origin != FdOrigin::received)) return;
  ledger::CloseCount*& known = closes_[uint64_t{ledger::fd_site(word)} << 32 | site];
  if (!known) {
    uint64_t index = 0;
    known = writer_.append<ledger::CloseCount>(SectionId::closes, index);
    if (!known) return writer_.drop(ledger::Dropped::closes_full);
    known->opened_site = ledger::fd_site(word);
    known->closed_site = site;
  }
  known->count.fetch_add(1, std::memory_order_relaxed);
}

void TracedLedger::bad_close(int fd, const Caller& caller) {
  uint32_t site = site_of(Kind::fd, caller);
  go_on(fd, site);
  FdRecord* record = record_of(fd);
  uint64_t word = record ? record->closed.word.load(std::memory_order_relaxed) : 0;
  constexpr uint32_t kSweep = 3;
  if (!word && ++run_.unknown == kSweep) {
    run_.is_sweep = true;
    for (uint64_t index : run_.noted)
      writer_.at<ledger::Misuse>(SectionId::misuses, index)->count.fetch_sub(1, std::memory_order_relaxed);
  }
  // A program may be started without standard streams, and close them all the same.
  if (run_.is_sweep || (!word && fd >= 0 && fd <= 2)) return;
  ledger::Misuse seen{};
  seen.kind = static_cast<uint8_t>(word ? ledger::MisuseKind::double_close : ledger::MisuseKind::not_open);
  seen.fd = fd;
  seen.site = site;
  seen.tid = caller.tid();
  seen.first_ns = caller.now_ns;
  if (word) {
    seen.opened_site = ledger::fd_site(word);
    seen.opened_tid = static_cast<int32_t>(record->closed.tid);
    seen.opened_ns = record->closed.acquired_ns;
    seen.closed_site = record->closed.closed_site;
    seen.closed_tid = static_cast<int32_t>(record->closed.closed_tid);
    seen.closed_ns = record->closed.closed_ns;
  }
  note_misuse(seen);
}

void TracedLedger::note_misuse(const ledger::Misuse& seen) {
  const ledger::Section& table = writer_.section(SectionId::misuses);
  uint64_t count = std::min(table.count.load(), table.capacity);
  uint64_t index = 0;
  auto is_same = [&](const ledger::Misuse& known) {
    return known.kind == seen.kind && known.opened_site == seen.opened_site && known.closed_site == seen.closed_site &&
           known.site == seen.site;
  };
  while (index < count && !is_same(*writer_.at<ledger::Misuse>(SectionId::misuses, index))) ++index;
  if (index == count) {
    auto* made = writer_.append<ledger::Misuse>(SectionId::misuses, index);
    if (!made) return writer_.drop(ledger::Dropped::misuses_full);
    std::memcpy(static_cast<void*>(made), &seen, sizeof seen);
  }
  writer_.at<ledger::Misuse>(SectionId::misuses, index)->count.fetch_add(1, std::memory_order_relaxed);
  run_.noted.push_back(index);
}

void TracedLedger::failed(Kind kind, int error, const Caller& caller) {
  bool truncated = false;
  uint32_t node = node_of(caller, truncated);
  const ledger::Section& table = writer_.section(SectionId::failures);
  uint64_t count = std::min(table.count.load(), table.capacity);
  for (uint64_t index = 0; index < count; ++index) {
    auto* known = writer_.at<ledger::Failure>(SectionId::failures, index);
    if (known->hook != caller.hook || known->error != error || known->node != node) continue;
    known->count.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  uint64_t index = 0;
  auto* made = writer_.append<ledger::Failure>(SectionId::failures, index);
  if (!made) return writer_.drop(ledger::Dropped::failures_full);
  made->hook = caller.hook;
  made->error = static_cast<uint16_t>(error);
  made->node = node;
  made->first_ns = caller.now_ns;
  made->live_then = writer_.header().totals[static_cast<size_t>(kind)].live.load(std::memory_order_relaxed);
  made->tid = caller.tid();
  made->kind = static_cast<uint8_t>(kind);
  made->truncated = truncated;
  made->count.store(1, std::memory_order_release);
}

void TracedLedger::thread_started(int tid, const Caller& caller) {
  auto* record = composer_->add_thread(tid, ledger::ThreadState::running, site_of(Kind::thread, caller), caller.now_ns);
  if (!record) return writer_.drop(ledger::Dropped::threads_full);
  record->creator_tid = caller.tid();
  threads_.push_back(record);
}

void TracedLedger::thread_ended(int tid) {
  auto found = std::find_if(threads_.begin(), threads_.end(), [&](auto* one) { return one->tid == tid; });
  if (found == threads_.end()) return;
  composer_->end_thread(**found);
  threads_.erase(found);
}

void TracedLedger::child_started(int pid, const Caller& caller) {
  auto* record = composer_->add_child(pid, site_of(Kind::child, caller), caller.now_ns);
  if (!record) return writer_.drop(ledger::Dropped::children_full);
  record->creator_tid = caller.tid();
  children_.push_back(record);
}

void TracedLedger::child_reaped(int pid) {
  auto found = std::find_if(children_.begin(), children_.end(), [&](auto* one) { return one->pid == pid; });
  if (found == children_.end()) return child_of_number_reaped();
  composer_->end_child(**found);
  children_.erase(found);
}

/// The process waited for it by a number of its own pid namespace: it is one that is there no more.
void TracedLedger::child_of_number_reaped() {
  if (!setup_.is_observed) return;
  size_t reaped = std::erase_if(children_, [&](auto* one) {
    bool is_gone = kill(one->pid, 0) != 0 && errno == ESRCH;
    if (is_gone) composer_->end_child(*one);
    return is_gone;
  });
  if (!reaped)
    writer_.cover(Kind::child, ledger::Coverage::partial, "it has waited for a child that was not seen to be started");
}

void TracedLedger::exec_leaked(int fd, uint64_t word, int pid, std::string_view program) {
  uint32_t site = ledger::fd_site(word);
  const ledger::Section& table = writer_.section(SectionId::exec_leaks);
  uint64_t count = std::min(table.count.load(), table.capacity);
  for (uint64_t index = 0; index < count; ++index) {
    auto* known = writer_.at<ledger::ExecLeak>(SectionId::exec_leaks, index);
    if (known->site != site || known->state.load() != ledger::kExecLeakValid) continue;
    known->count.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  uint64_t index = 0;
  auto* made = writer_.append<ledger::ExecLeak>(SectionId::exec_leaks, index);
  if (!made) return writer_.drop(ledger::Dropped::exec_leaks_full);
  made->fd = fd;
  made->site = site;
  made->serial = ledger::fd_serial(word);
  made->caller_pid = pid;
  made->hook = static_cast<uint16_t>(find_call(SYS_execve));
  const FdRecord* record = record_of(fd);
  made->acquired_ns = record ? record->acquired_ns : 0;
  base::TextBuilder(made->program).add(program);
  base::TextBuilder(made->target).add(ProcessFiles(pid).link("fd/" + std::to_string(fd)));
  made->count.store(1, std::memory_order_relaxed);
  made->state.store(ledger::kExecLeakValid, std::memory_order_release);
}

void TracedLedger::take_facts(int tid) {
  report::take_kernel_facts(writer_, tid);
  report::take_kernel_tasks(writer_, tid);
  take_goroutines(*stacks_, writer_, tid, setup_.settings->depth);
}

void TracedLedger::end(int tid, int status) {
  ledger::Header& header = writer_.header();
  header.ended_monotonic_ns = base::monotonic_ns();
  header.exit_status = status;
  // A fork child that has started none has none that nobody joined, whoever would have seen that.
  auto thread = static_cast<size_t>(Kind::thread);
  bool is_partial = header.coverage[thread] == static_cast<uint8_t>(ledger::Coverage::partial);
  if (is_partial && header.flags.load() & ledger::kHeaderFlagJoined && !header.totals[thread].acquired.load())
    writer_.cover(Kind::thread, ledger::Coverage::exact);
  take_facts(tid);
  header.handover.store(static_cast<uint32_t>(ledger::Handover::left), std::memory_order_release);
  header.state.store(static_cast<uint32_t>(ledger::State::ended), std::memory_order_release);
}

void TracedLedger::replaced() {
  writer_.header().state.store(static_cast<uint32_t>(ledger::State::replaced), std::memory_order_release);
  unlinkat(setup_.folder, file_name(name_).c_str(), 0);
}

void TracedLedger::finish() {
  ledger::FileName done = name_;
  done.done = true;
  renameat2(setup_.folder, file_name(name_).c_str(), setup_.folder, file_name(done).c_str(), RENAME_NOREPLACE);
}

}  // namespace unfreed::trace
