// A process that restricts its own system calls (seccomp) would die of ours. From then on there are none: room in the
// ledger is taken while it can be had, the last report is left to the launcher, and without a launcher the ledger
// stays, which is said beforehand.
#include "base/syscall.h"
#include "base/text.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
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
      {SectionId::strings, 64 * 1024}, {SectionId::modules, 64}, {SectionId::nodes, 32 * 1024},
      {SectionId::sites, 4096},        {SectionId::fds, 1024},   {SectionId::threads, 128},
      {SectionId::chunk_heads, 128},   {SectionId::chunks, 128}, {SectionId::failures, 64},
      {SectionId::handles, 512},
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

void flag() { g_tracker.writer.header().flags.fetch_or(ledger::kHeaderFlagSandboxed, std::memory_order_relaxed); }

}  // namespace

void watch_for_sandbox() { base::watch_for_sandbox(flag); }

void sandboxing(hook::Sandbox sandbox, bool failed) {
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return;
  if (!failed && base::may_call_system()) {
    // A report that is being made would be cut off from the kernel.
    ReportTurn turn(kPatienceMs);
    track::adopt_fork_if_needed();
    if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return;
    announce();
    take_room();
    flag();
    g_runtime.is_first_sandbox = true;
    base::forbid_system_calls(sandbox == hook::Sandbox::filter);
  } else if (failed && g_runtime.is_first_sandbox) {
    g_tracker.writer.header().flags.fetch_and(~ledger::kHeaderFlagSandboxed, std::memory_order_relaxed);
    base::allow_system_calls();
  } else {
    // A second filter on top of the first, which stays whatever becomes of this one.
    g_runtime.is_first_sandbox = false;
  }
}

}  // namespace unfreed::runtime
