// A process that restricts its own system calls (seccomp) would die of ours. From then on there are none: room in the
// ledger is reserved before that, the kernel's list of descriptors is read for the last time, the last report is left
// to the launcher, and without a launcher the ledger stays, as a line says beforehand.
//
// A program can also do so by a system call instruction of its own, which no hook sees; asking the kernel needs a
// system call, which may be fatal. The instruction and the number of the call can be seen in its code, though. If they
// found, a sandbox is assumed from where the program prepares for it, or where it ends as strict mode requires.
#include <link.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include <span>

#include "arch/own_system_calls.h"
#include "base/syscall.h"
#include "base/text.h"
#include "kernel/kernel_facts.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
#include "track/fd.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using ledger::SectionId;
using track::g_tracker;

namespace {

constexpr int kPatienceMs = 1000;

/// Reserves room for what is recorded after the filter is installed, which is little: a megabyte or two.
void take_room() {
  struct Room {
    SectionId section;
    uint64_t records;
  };
  static constexpr Room kRoom[] = {
      {SectionId::strings, 64 * 1024}, {SectionId::modules, 64},      {SectionId::nodes, 32 * 1024},
      {SectionId::sites, 4096},        {SectionId::fds, 1024},        {SectionId::threads, 128},
      {SectionId::chunk_heads, 128},   {SectionId::chunks, 128},      {SectionId::failures, 64},
      {SectionId::handles, 512},       {SectionId::kernel_fds, 1024},
  };
  for (const Room& room : kRoom) g_tracker.writer.reserve(room.section, room.records);
}

void announce() {
  if (g_settings.quiet || launcher_is_there()) return;
  base::FixedText<600> line;
  line.add("unfreed: pid ").add_signed(g_runtime.pid).add(" restricts its system calls (seccomp): ");
  if (g_runtime.ledger_path[0])
    line.add("it writes no report when it ends; use `unfreed report ").add(g_runtime.ledger_path).add("`");
  else
    line.add("no report can be made when it ends");
  say(line.text(), g_settings.has_rules() ? Line::verdict : Line::news);
}

void set_flag(uint32_t flag, bool is_set) {
  std::atomic<uint32_t>& flags = g_tracker.writer.header().flags;
  if (is_set)
    flags.fetch_or(flag, std::memory_order_relaxed);
  else
    flags.fetch_and(~flag, std::memory_order_relaxed);
}
void flag() { set_flag(ledger::kHeaderFlagSandboxed, true); }
void asking(bool is_asking) { set_flag(ledger::kHeaderFlagAsking, is_asking); }

/// Reads the kernel's list for what may be the last time. From then on the ledger also knows what no hooked function
/// acquired, so that it notices when that is closed.
void take_last_list() {
  const ledger::Writer& writer = g_tracker.writer;
  if (!track::tracks(ledger::Kind::fd) || !report::take_kernel_facts(g_tracker.writer, 0)) return;
  std::atomic<uint64_t>& count = writer.section(SectionId::kernel_fds).count;
  for (uint64_t index = 0; index < count.load(std::memory_order_relaxed); ++index)
    if (const auto* one = writer.touch<ledger::KernelFd>(SectionId::kernel_fds, index)) track::fd_found(one->fd);
  track::fd_forget_closed();
  count.store(0, std::memory_order_release);
}

/// Does the program's own code restrict its system calls past libc, by seccomp or the prctl that does the same? Of an
/// executable that is small: a larger one takes too long to search, and has such numbers by chance.
bool has_code_for_sandbox() {
  constexpr size_t kMostBytes = 1 << 20;
  auto* headers = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
  size_t count = getauxval(AT_PHNUM);
  if (!headers) return false;
  uintptr_t bias = 0;
  for (size_t i = 0; i < count; ++i)
    if (headers[i].p_type == PT_PHDR) bias = reinterpret_cast<uintptr_t>(headers) - headers[i].p_vaddr;
  for (size_t i = 0; i < count; ++i) {
    constexpr uint32_t kReadableCode = PF_R | PF_X;
    if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & kReadableCode) != kReadableCode) continue;
    std::span<const uint8_t> code(reinterpret_cast<const uint8_t*>(bias + headers[i].p_vaddr), headers[i].p_filesz);
    if (code.size() > kMostBytes || !arch::has_system_call(code)) continue;
    if (arch::loads(code, SYS_seccomp, arch::Operand::number)) return true;
    if (arch::loads(code, SYS_prctl, arch::Operand::number) &&
        arch::loads(code, PR_SET_SECCOMP, arch::Operand::argument))
      return true;
  }
  return false;
}

}  // namespace

void watch_for_sandbox() {
  base::watch_for_sandbox(flag, asking);
  g_runtime.restricts_itself = has_code_for_sandbox();
  if (!g_runtime.restricts_itself) return;
  take_room();  // before long it may be too late
  base::read_coarse_clock();
}

void sandboxing(hook::Sandbox sandbox, bool failed) {
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return;
  bool is_assumed = sandbox == hook::Sandbox::prepared || sandbox == hook::Sandbox::suspected;
  if (is_assumed && !g_runtime.restricts_itself) return;
  // In strict mode even prctl is fatal.
  if (sandbox == hook::Sandbox::suspected) {
    set_flag(ledger::kHeaderFlagMaybeSandboxed, true);
    flag();
    base::forbid_system_calls(false);
    return;
  }
  if (!failed && base::may_call_system()) {
    // A report that is being made would be cut off from the kernel.
    ReportTurn turn(kPatienceMs);
    track::adopt_fork_if_needed();
    if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return;
    announce();
    take_room();
    if (turn) take_last_list();
    set_flag(ledger::kHeaderFlagReconciled, false);  // with what is open from now on
    flag();
    set_flag(ledger::kHeaderFlagMaybeSandboxed, is_assumed);
    g_runtime.is_first_sandbox = true;
    base::forbid_system_calls(sandbox == hook::Sandbox::filter);
  } else if (failed && g_runtime.is_first_sandbox) {
    set_flag(ledger::kHeaderFlagSandboxed, false);
    base::allow_system_calls();
  } else {
    // A second filter on top of the first, which stays whatever becomes of this one.
    g_runtime.is_first_sandbox = false;
  }
}

}  // namespace unfreed::runtime
