// Rows by pc: one table for all threads, without locks. It starts small, since every page that it touches costs a
// short-lived process, and grows with the code that is walked through.
//
// An entry is valid if check ^ row == its key: a torn pair (two writers, one reader) then never matches (the "lockless
// hashing" of Hyatt and Mann, 1998). A pc's new row replaces the entry that was there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::unwind {

class RowCache {
 public:
  /// False: no memory.
  bool prepare() {
    table_.store(allocate(kFirstEntries), std::memory_order_release);
    return table_.load(std::memory_order_relaxed) != nullptr;
  }

  /// The packed row kept under `key`, whose low bits are a pc's. False: none.
  bool find(uint64_t key, uint64_t& row) const {
    const Table& table = *table_.load(std::memory_order_acquire);
    const Entry& entry = table.entries[slot_of(key, table.mask)];
    row = entry.row.load(std::memory_order_relaxed);
    return (entry.check.load(std::memory_order_relaxed) ^ row) == key;
  }

  void put(uint64_t key, uint64_t row) {
    Table& table = *table_.load(std::memory_order_acquire);
    put_into(table, key, row);
    if (table.puts.fetch_add(1, std::memory_order_relaxed) == table.mask / 2) grow(table);
  }

 private:
  struct Entry {
    std::atomic<uint64_t> check;
    std::atomic<uint64_t> row;
  };
  struct Table {
    size_t mask;
    std::atomic<size_t> puts;
    Entry entries[1];  ///< mask + 1 of them
  };
  static constexpr size_t kFirstEntries = 1 << 11;
  static constexpr size_t kMostEntries = 1 << 17;

  static size_t bytes_of(size_t entries) { return sizeof(Table) + entries * sizeof(Entry); }
  static Table* allocate(size_t entries) {
    auto* table = static_cast<Table*>(base::own_memory(bytes_of(entries)));
    if (table) table->mask = entries - 1;
    return table;
  }

  /// Neighbouring pcs of one function share cache lines: call-dense code then costs fewer misses, and a short program
  /// touches few pages.
  static size_t slot_of(uint64_t key, size_t mask) { return (key ^ key >> 16) & mask; }

  static void put_into(Table& table, uint64_t key, uint64_t row) {
    Entry& entry = table.entries[slot_of(key, table.mask)];
    entry.row.store(row, std::memory_order_relaxed);
    entry.check.store(key ^ row, std::memory_order_relaxed);
  }

  /// Called by one thread for each table, that of its put number mask / 2. Others continue reading the old one; it is
  /// never freed.
  void grow(const Table& old) {
    if (old.mask + 1 >= kMostEntries) return;
    Table* larger = allocate((old.mask + 1) * 4);
    if (!larger) return;
    base::populate_memory(larger, bytes_of(larger->mask + 1));
    for (size_t i = 0; i <= old.mask; ++i) {
      uint64_t row = old.entries[i].row.load(std::memory_order_relaxed);
      // The key; of a torn pair, one that is nobody's.
      if (uint64_t key = old.entries[i].check.load(std::memory_order_relaxed) ^ row) put_into(*larger, key, row);
    }
    table_.store(larger, std::memory_order_release);
  }

  std::atomic<Table*> table_{nullptr};
};

}  // namespace unfreed::unwind
