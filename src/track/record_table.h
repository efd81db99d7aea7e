// A small table of the ledger that holds each record once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/lock.h"
#include "track/tracker.h"

namespace unfreed::track {

/// The record of a table for which `same(record)` returns true; else a new one, which `fill(record)` completes before
/// others see it. nullptr if there is no room, which is counted as `full`. Tables are searched from their start, so
/// they are small; only a new record takes the lock. Thread-safe, async-signal-safe.
template <class Record, class Same, class Fill>
Record* find_or_add(ledger::SectionId id, ledger::Dropped full, base::Lock& lock, Same same, Fill fill) {
  const ledger::Writer& writer = g_tracker.writer;
  ledger::Section& table = writer.section(id);
  auto find = [&]() -> Record* {
    uint64_t count = std::min(table.count.load(std::memory_order_acquire), table.capacity);
    for (uint64_t i = 0; i < count; ++i)
      if (auto* known = writer.at<Record>(id, i); same(*known)) return known;
    return nullptr;
  };
  if (Record* known = find()) return known;
  base::Hold hold(lock);
  if (Record* known = find()) return known;
  uint64_t number = table.count.load(std::memory_order_relaxed);
  auto* record = writer.touch<Record>(id, number);
  if (!record) {
    writer.drop(full);
    return nullptr;
  }
  fill(*record);
  table.count.store(number + 1, std::memory_order_release);
  return record;
}

}  // namespace unfreed::track
