#include "track/tests.h"

#include <algorithm>

#include "base/keep_errno.h"
#include "base/lock.h"
#include "base/text.h"
#include "track/epochs.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::SectionId;
using ledger::StringRef;
using ledger::TestRecord;

namespace {

/// Of a name that is kept: a parametrized test's can be of any length.
constexpr size_t kMostOfName = 480;
/// Of all names: the table of strings is for more than these.
constexpr uint64_t kMostOfNames = 1u << 20;

constinit base::Lock g_lock;
struct Running {
  StringRef name;  ///< 0: no test runs
  bool is_in_last_phase;
  uint64_t bytes;  ///< of the names so far
};
constinit Running g_running{};

struct Value {
  std::string_view name;
  std::string_view phase;
};
/// "tests/test_a.py::test_x (call)"
Value parse(std::string_view value) {
  for (std::string_view phase : {"setup", "call", "teardown"}) {
    std::string_view name = value;
    if (!name.ends_with(')')) break;
    name.remove_suffix(1);
    if (!name.ends_with(phase)) continue;
    name.remove_suffix(phase.size());
    if (!name.ends_with(" (")) break;
    name.remove_suffix(2);
    return {name, phase};
  }
  return {value, {}};
}

/// At the end of a character.
std::string_view shortened(std::string_view name) {
  if (name.size() <= kMostOfName) return name;
  size_t end = kMostOfName;
  while (end && (name[end] & 0xc0) == 0x80) --end;
  return {name.data(), end};
}

bool may_record() {
  if (g_tracker.phase.load(std::memory_order_acquire) != Phase::tracking || in_vfork_child()) return false;
  adopt_fork_if_needed();
  return g_tracker.phase.load(std::memory_order_acquire) == Phase::tracking;
}

StringRef add_name(std::string_view name) {
  std::string_view kept = shortened(name);
  base::FixedText<kMostOfName + 8> text;
  text.add(kept).add(kept.size() < name.size() ? "…" : "");
  return g_tracker.writer.add_text(text.text());
}

bool is_name(StringRef ref, std::string_view name) {
  if (!ref) return false;
  std::string_view kept(g_tracker.writer.at<char>(SectionId::strings, ref));
  std::string_view begin = shortened(name);
  return kept.starts_with(begin) && (begin.size() < name.size() || kept.size() == begin.size());
}

/// From now on that test runs. False: there is no room.
bool record(StringRef name) {
  uint64_t index;
  auto* record = g_tracker.writer.append<TestRecord>(SectionId::tests, index);
  if (!record) return false;
  record->name = name;
  record->last_serial = g_tracker.serial.load(std::memory_order_acquire);
  uint32_t epoch = g_tracker.heap_use == HeapUse::none ? kLastEpoch : open_epoch();
  record->first_epoch = epoch == kLastEpoch ? 0 : epoch;
  record->is_valid.store(1, std::memory_order_release);
  return true;
}

/// The last record is kept for saying that no test runs.
bool has_room() {
  const ledger::Section& table = g_tracker.writer.section(SectionId::tests);
  return table.count.load(std::memory_order_relaxed) + 1 < table.capacity && g_running.bytes < kMostOfNames;
}

void run_none() {
  if (g_running.name) record(0);
  g_running.name = 0;
}

}  // namespace

void test_begins(const char* value) {
  base::KeepErrno keep;
  if (!value || !may_record()) return;
  auto [name, phase] = parse(value);
  base::Hold hold(g_lock);
  g_running.is_in_last_phase = phase.empty() || phase == "teardown";
  if (name.empty() || is_name(g_running.name, name)) return;
  StringRef ref = has_room() ? add_name(name) : 0;
  if (ref && record(ref)) {
    g_running.name = ref;
    g_running.bytes += std::min(name.size(), kMostOfName);
    return;
  }
  g_tracker.writer.drop(ledger::Dropped::tests_full);
  run_none();
}

void test_may_end() {
  base::KeepErrno keep;
  if (!may_record()) return;
  base::Hold hold(g_lock);
  if (g_running.is_in_last_phase) run_none();
}

void start_tests(std::string_view value) {
  std::string_view name = parse(value).name;
  if (!name.empty()) g_tracker.writer.header().test = add_name(name);
}

void restart_tests() {
  g_lock.reset();
  if (g_running.name) g_tracker.writer.header().test = g_running.name;
  g_running.name = 0;
  g_running.bytes = 0;
}

uint32_t test_of_epoch(uint32_t epoch) {
  if (epoch >= kLastEpoch) return 0;
  const ledger::Writer& writer = g_tracker.writer;
  const ledger::Section& table = writer.section(SectionId::tests);
  uint64_t low = 0, high = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  // The last record that begins with that epoch or before.
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    auto* record = writer.known<TestRecord>(SectionId::tests, middle);
    bool is_before = record && record->is_valid.load(std::memory_order_acquire) && record->first_epoch &&
                     record->first_epoch <= epoch;
    if (is_before)
      low = middle + 1;
    else
      high = middle;
  }
  if (!low) return 0;
  return writer.known<TestRecord>(SectionId::tests, low - 1)->name ? static_cast<uint32_t>(low) : 0;
}

}  // namespace unfreed::track
