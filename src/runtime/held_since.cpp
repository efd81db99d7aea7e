#include "runtime/held_since.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "base/arena.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "evaluate/evaluate.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "kernel/program_facts.h"
#include "names/symbol_table.h"
#include "runtime/child_process.h"
#include "runtime/helper.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/report_now.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
#include "settings/suppressions.h"
#include "track/own_child.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using base::raw_syscall;
using track::g_tracker;

namespace {

constexpr int kPatienceMs = 20'000;
constexpr int kMostMilliseconds = 20'000;
constexpr int kMostMillisecondsOfCommand = 15'000;
constexpr size_t kMostText = size_t{4} << 20;

/// A text of the ledger's hook names.
std::string_view acquirer(const ledger::View& view, uint32_t site) {
  const ledger::Site* record = view.site(site);
  std::string_view found;
  uint32_t at = 0;
  if (record)
    view.each_text(view.header().hook_names, view.header().hook_count, [&](std::string_view name) {
      if (at++ == record->hook) found = name;
    });
  return found;
}

}  // namespace

/// What the copy is asked, and where it answers.
struct HeldSince::Shared {
  size_t count;
  report::HeldSite held[kMostSites];
  std::atomic<size_t> text_bytes;
  char text[kMostText];
};

HeldSince::HeldSince(std::span<const report::HeldSite> held) {
  long start = raw_syscall(SYS_mmap, 0, sizeof(Shared), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base::is_error(start)) return;
  shared_ = new (reinterpret_cast<void*>(start)) Shared;
  shared_->count = held.size();
  std::copy(held.begin(), held.end(), shared_->held);
  if (!describe()) name_only();
  left_ = {shared_->text, std::min(shared_->text_bytes.load(std::memory_order_acquire), kMostText)};
}

HeldSince::~HeldSince() {
  if (shared_) raw_syscall(SYS_munmap, reinterpret_cast<long>(shared_), sizeof(Shared));
}

int HeldSince::make(void* context) {
  auto& shared = *static_cast<Shared*>(context);
  std::span<const report::HeldSite> held(shared.held, shared.count);
  report::take_kernel_tasks(g_tracker.writer, g_runtime.pid);
  static char list[kMostSites * 64];
  base::TextBuilder sites(list), text(shared.text);
  report::add_held_sites(sites, held);
  if (!describe_with_command(sites.c_str(), text, kMostMillisecondsOfCommand)) {
    text.clear();
    if (!describe_here(held, text)) return 1;
  }
  shared.text_bytes.store(text.size(), std::memory_order_release);
  return 0;
}

bool HeldSince::describe() {
  ReportTurn turn(kPatienceMs);
  if (!turn) return false;
  base::SpareRoom room;
  track::own_child_begins();
  long pid = start_copy(
      shared_, -1, [](void*) { report::take_kernel_facts(g_tracker.writer, 0); }, make);
  return !base::is_error(pid) && wait_for_copy(kMostMilliseconds) == 0;
}

void HeldSince::name_only() {
  ledger::View view = own_view();
  base::TextBuilder text(shared_->text);
  for (const report::HeldSite& one : std::span(shared_->held, shared_->count)) {
    report::HeldText shown;
    shown.count = one.count;
    shown.bytes = one.bytes;
    shown.acquired_by = acquirer(view, one.site);
    report::add_held_text(text, shown);
  }
  shared_->text_bytes.store(text.size(), std::memory_order_relaxed);
}

}  // namespace unfreed::runtime
