#include "track/mappings.h"

#include <algorithm>
#include <cstring>

#include "base/keep_errno.h"
#include "base/own_memory.h"
#include "track/counters.h"
#include "track/handle_table.h"
#include "track/sites.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::HandleRecord;
using ledger::Kind;

namespace {

struct Interval {
  Range range;
  uint32_t record;  ///< index + 1
};

// By address, without overlaps. Guarded by g_handle_lock.
Interval* g_intervals;
size_t g_count;
size_t g_room;

/// A record that was taken out: what its word was, and the next of those taken with it.
struct Taken {
  uint64_t word;
  uint32_t next;  ///< index + 1; 0: the last
};
Taken* g_taken;  // by record
Taken& taken_at(uint32_t record) { return g_taken[record - 1]; }

/// A record, with room for it among the intervals; 0 for none, which is counted.
uint32_t take_record() {
  if (!g_intervals) {
    g_room = g_tracker.writer.section(ledger::SectionId::handles).capacity;
    g_taken = base::own_array<Taken>(g_room);
    g_intervals = g_taken ? base::own_array<Interval>(g_room) : nullptr;
  }
  if (g_intervals && g_count < g_room) return take_handle_record();
  g_tracker.writer.drop(ledger::Dropped::handles_full);
  return 0;
}

/// The first interval that ends after `address`.
size_t first_after(uint64_t address) {
  return static_cast<size_t>(std::upper_bound(g_intervals, g_intervals + g_count, address,
                                              [](uint64_t at, const Interval& one) { return at < one.range.end; }) -
                             g_intervals);
}

void insert(size_t at, const Interval& interval) {
  std::memmove(g_intervals + at + 1, g_intervals + at, (g_count - at) * sizeof *g_intervals);
  g_intervals[at] = interval;
  ++g_count;
}

void erase(size_t at) {
  std::memmove(g_intervals + at, g_intervals + at + 1, (g_count - at - 1) * sizeof *g_intervals);
  --g_count;
}

void set_range(const Interval& interval) {
  HandleRecord& record = handle_record(interval.record - 1);
  record.id = interval.range.start;
  record.bytes = interval.range.end - interval.range.start;
}

bool is_counted(uint32_t record) { return !(handle_record(record - 1).flags & ledger::kHandleIgnored); }

void release(uint32_t record, uint64_t word, TakenMappings& taken) {
  uint32_t site = ledger::handle_site(word);
  uint32_t* cut = std::find(std::begin(taken.cut_sites), std::end(taken.cut_sites), site);
  // Of a mapping that was cut, one part has gone and one is left: it is still one.
  if (site && cut != std::end(taken.cut_sites))
    *cut = 0;
  else if (is_counted(record))
    count_released_with_peak(Kind::mapping, site);
  give_handle_record_back(record);
}

/// Makes two of the interval that `address` lies inside of, if any.
void cut(uint64_t address, TakenMappings& taken) {
  size_t at = first_after(address);
  if (at == g_count || g_intervals[at].range.start >= address) return;
  uint32_t record = take_record();
  Interval& first = g_intervals[at];
  Interval second{{address, first.range.end}, record};
  HandleRecord& old = handle_record(first.record - 1);
  first.range.end = address;
  set_range(first);
  if (!record) return;  // counted as dropped
  HandleRecord& made = handle_record(record - 1);
  made.acquired_ns = old.acquired_ns;
  made.tid = old.tid;
  made.flags = old.flags;
  std::memcpy(made.target, old.target, sizeof made.target);
  set_range(second);
  uint64_t word = old.word.load(std::memory_order_relaxed);
  made.word.store(word, std::memory_order_release);
  if (is_counted(record))
    *std::find(std::begin(taken.cut_sites), std::end(taken.cut_sites) - 1, 0u) = ledger::handle_site(word);
  insert(at + 1, second);
}

/// Counts the records added by cuts as acquired. Nothing else remains to be done.
void settle(TakenMappings& taken) {
  for (uint32_t& site : taken.cut_sites) {
    if (site) count_acquired_with_peak(Kind::mapping, site);
    site = 0;
  }
  taken.first = taken.last = 0;
}

TakenMappings take(Range range) {
  TakenMappings taken;
  if (range.start >= range.end || !g_count) return taken;
  cut(range.start, taken);
  cut(range.end, taken);
  size_t first = first_after(range.start), end = first;
  for (; end < g_count && g_intervals[end].range.start < range.end; ++end) {
    uint32_t record = g_intervals[end].record;
    taken_at(record) = {handle_record(record - 1).word.exchange(0, std::memory_order_acq_rel), 0};
    (taken.last ? taken_at(taken.last).next : taken.first) = record;
    taken.last = record;
  }
  std::memmove(g_intervals + first, g_intervals + end, (g_count - end) * sizeof *g_intervals);
  g_count -= end - first;
  return taken;
}

Range range_of(uint32_t record) {
  const HandleRecord& taken = handle_record(record - 1);
  return {taken.id, taken.id + taken.bytes};
}

/// Calls `visit(record)` for each that was taken; it may give the record back.
template <class Visit>
void for_each(const TakenMappings& taken, Visit visit) {
  for (uint32_t record = taken.first; record;) {
    uint32_t next = taken_at(record).next;
    visit(record);
    record = next;
  }
}

void release_all(TakenMappings& taken) {
  for_each(taken, [&](uint32_t record) { release(record, taken_at(record).word, taken); });
  settle(taken);
}

/// Enters a record again. Its range is free.
void put(uint32_t record, Range range, TakenMappings& taken) {
  uint64_t word = taken_at(record).word;
  // Others may have filled the table meanwhile.
  if (g_count == g_room) {
    g_tracker.writer.drop(ledger::Dropped::handles_full);
    return release(record, word, taken);
  }
  Interval interval{range, record};
  set_range(interval);
  handle_record(record - 1).word.store(word, std::memory_order_release);
  insert(first_after(range.start), interval);
}

/// Joins the intervals that meet at `address` and were one before they were cut.
void join(uint64_t address, TakenMappings& taken) {
  size_t second = first_after(address);
  if (second == 0 || second == g_count) return;
  Interval& before = g_intervals[second - 1];
  const Interval& after = g_intervals[second];
  HandleRecord& kept = handle_record(before.record - 1);
  HandleRecord& other = handle_record(after.record - 1);
  uint64_t word = kept.word.load(std::memory_order_relaxed);
  if (before.range.end != address || after.range.start != address || other.word.load(std::memory_order_relaxed) != word)
    return;
  before.range.end = after.range.end;
  uint32_t gone = after.record;
  other.word.store(0, std::memory_order_release);
  set_range(before);
  erase(second);
  release(gone, word, taken);
}

}  // namespace

void mapping_made(Range range, std::string_view target, uint16_t hook, const unwind::Registers& from) {
  if (!enter(Kind::mapping)) return;
  base::KeepErrno keep;
  bool ignored = t_local.pause_depth;
  uint32_t site = ignored ? 0 : capture_site(Kind::mapping, hook, from);
  base::Hold hold(g_handle_lock);
  TakenMappings replaced = take(range);
  release_all(replaced);
  if (!ignored) count_acquired_with_peak(Kind::mapping, site);
  uint32_t record = take_record();
  if (!record) return;
  fill_handle_record(record, {Kind::mapping, range.start, range.end - range.start, target}, site, ignored);
  insert(first_after(range.start), {range, record});
}

void mapping_not_made(uint16_t hook, const unwind::Registers& from) { handle_not_acquired(Kind::mapping, hook, from); }

TakenMappings take_mappings(Range range) {
  if (!enter(Kind::mapping)) return {};
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  return take(range);
}

void mappings_gone(TakenMappings& taken) {
  if (!taken.first || !enter(Kind::mapping)) return;
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  release_all(taken);
}

void mappings_stay(TakenMappings& taken) {
  if (!taken.first || !enter(Kind::mapping)) return;
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  Range all{range_of(taken.first).start, range_of(taken.last).end};
  for_each(taken, [&](uint32_t record) { put(record, range_of(record), taken); });
  join(all.start, taken);
  join(all.end, taken);
  settle(taken);
}

void mappings_moved(TakenMappings& taken, Range from, Range to) {
  if (!taken.first || !enter(Kind::mapping)) return;
  base::KeepErrno keep;
  base::Hold hold(g_handle_lock);
  // With MREMAP_FIXED it has replaced what was there.
  TakenMappings replaced = take(to);
  release_all(replaced);
  for_each(taken, [&](uint32_t record) {
    Range old = range_of(record);
    Range range{old.start - from.start + to.start, old.end - from.start + to.start};
    if (old.end == from.end) range.end = to.end;
    range.end = std::min(range.end, to.end);
    if (range.start < range.end)
      put(record, range, taken);
    else
      release(record, taken_at(record).word, taken);
  });
  join(to.start, taken);  // in place, what was cut off in front of it is one with it
  settle(taken);
}

void reset_mappings_after_fork() { g_count = 0; }

}  // namespace unfreed::track
