#include "track/handles.h"

#include <errno.h>

#include <algorithm>
#include <cstring>

#include "base/keep_errno.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/epochs.h"
#include "track/failures.h"
#include "track/handle_table.h"
#include "track/levels.h"
#include "track/sites.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::HandleRecord;
using ledger::Kind;
using ledger::SectionId;

constinit base::Lock g_handle_lock;

namespace {

constexpr size_t kBuckets = 1024;

uint32_t g_buckets[kBuckets];  // (kind, id) → its newest record + 1
uint32_t* g_next;              // per record: next in its bucket, or in the free list, + 1
uint32_t g_first_free;         // record + 1

uint32_t& bucket_of(Kind kind, uint64_t id) {
  uint64_t hash = (id ^ uint64_t{static_cast<uint8_t>(kind)} << 56) * 0x9e3779b97f4a7c15u;
  return g_buckets[hash >> 54];
}

void link_record(Kind kind, uint32_t record) {
  uint32_t& bucket = bucket_of(kind, handle_record(record - 1).id);
  g_next[record - 1] = bucket;
  bucket = record;
}

/// The link that leads to the newest record of that id; nullptr for none.
uint32_t* find(Kind kind, uint64_t id) {
  if (!g_next) return nullptr;
  for (uint32_t* link = &bucket_of(kind, id); *link; link = &g_next[*link - 1]) {
    HandleRecord& record = handle_record(*link - 1);
    if (record.id == id && ledger::handle_kind(record.word.load(std::memory_order_relaxed)) == kind) return link;
  }
  return nullptr;
}

void enter_record(const Handle& handle, uint32_t site, bool ignored) {
  uint32_t taken = take_handle_record();
  if (!taken) return;
  fill_handle_record(taken, handle, site, ignored);
  link_record(handle.kind, taken);
}

bool is_limit(int error) { return error == EAGAIN || error == ENOMEM || error == ENOSPC || error == EMFILE; }

}  // namespace

HandleRecord& handle_record(uint32_t index) { return *g_tracker.writer.at<HandleRecord>(SectionId::handles, index); }

uint32_t take_handle_record() {
  ledger::Section& table = g_tracker.writer.section(SectionId::handles);
  if (g_first_free) {
    uint32_t taken = g_first_free;
    g_first_free = g_next[taken - 1];
    return taken;
  }
  if (!g_next) g_next = base::own_array<uint32_t>(table.capacity);
  uint64_t index = table.count.load(std::memory_order_relaxed);
  if (!g_next || !g_tracker.writer.touch<HandleRecord>(SectionId::handles, index)) {
    g_tracker.writer.drop(ledger::Dropped::handles_full);
    return 0;
  }
  table.count.store(index + 1, std::memory_order_release);
  return static_cast<uint32_t>(index + 1);
}

void give_handle_record_back(uint32_t record) {
  g_next[record - 1] = g_first_free;
  g_first_free = record;
}

void fill_handle_record(uint32_t record, const Handle& handle, uint32_t site, bool ignored) {
  HandleRecord& filled = handle_record(record - 1);
  filled.id = handle.id;
  filled.acquired_ns = base::monotonic_ns();
  note_time(filled.acquired_ns);
  filled.bytes = handle.bytes;
  filled.tid = base::current_tid();
  filled.flags = ignored ? ledger::kHandleIgnored : 0;
  size_t size = std::min(handle.target.size(), sizeof filled.target - 1);
  if (size) std::memcpy(filled.target, handle.target.data(), size);
  filled.target[size] = '\0';
  uint32_t serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!serial) serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  filled.word.store(ledger::handle_word(handle.kind, site, serial), std::memory_order_release);
}

void handle_acquired(const Handle& handle, uint16_t function, const unwind::Registers& from) {
  if (!enter(handle.kind)) return;
  base::KeepErrno keep;
  bool ignored = t_local.pause_depth;
  uint32_t site = ignored ? 0 : capture_site(handle.kind, function, from);
  {
    base::Hold hold(g_handle_lock);
    if (!ignored) count_acquired_with_peak(handle.kind, site);
    enter_record(handle, site, ignored);
  }
  check_level(handle.kind);
}

void handle_not_acquired(Kind kind, uint16_t function, const unwind::Registers& from) {
  if (!is_limit(errno) || !enter(kind)) return;
  base::KeepErrno keep;
  note_failure(kind, function, errno, from);
}

HandleRelease handle_releasing(Kind kind, uint64_t id) {
  if (!enter(kind)) return {};
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  uint32_t* link = find(kind, id);
  if (!link) return {};
  uint32_t record = *link;
  *link = g_next[record - 1];
  return {record, handle_record(record - 1).word.exchange(0, std::memory_order_acq_rel)};
}

void handle_released(const HandleRelease& release, bool succeeded) {
  // A fork child that came about during the call knows nothing of it.
  if (!release.record || !enter(ledger::handle_kind(release.word))) return;
  base::KeepErrno keep;
  Kind kind = ledger::handle_kind(release.word);
  base::Hold hold(g_handle_lock);
  if (release.record > g_tracker.writer.section(SectionId::handles).count.load(std::memory_order_relaxed)) return;
  HandleRecord& record = handle_record(release.record - 1);
  if (!succeeded) {
    record.word.store(release.word, std::memory_order_release);
    return link_record(kind, release.record);
  }
  if (!(record.flags & ledger::kHandleIgnored)) count_released_with_peak(kind, ledger::handle_site(release.word));
  give_handle_record_back(release.record);
}

bool handle_is_known(Kind kind, uint64_t id) {
  if (!enter(kind)) return false;
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  return find(kind, id);
}

void handle_live_since(Kind kind, uint32_t serial, LiveSince& out) {
  uint64_t count = g_tracker.writer.section(SectionId::handles).count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    HandleRecord& record = handle_record(i);
    uint64_t word = record.word.load(std::memory_order_acquire);
    if (!word || ledger::handle_kind(word) != kind || record.flags & ledger::kHandleIgnored) continue;
    if (static_cast<int32_t>(ledger::handle_serial(word) - serial) > 0)
      out.add(ledger::handle_site(word), record.bytes);
  }
}

void reset_handles_after_fork() {
  g_handle_lock.reset();
  std::fill(std::begin(g_buckets), std::end(g_buckets), 0u);
  g_first_free = 0;
}

}  // namespace unfreed::track
