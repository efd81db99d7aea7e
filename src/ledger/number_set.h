// A set of record numbers, hashed by the records' contents. Lock-free and async-signal-safe, since stacks are entered
// from signal handlers too, and blocking signals would cost two system calls for each new stack.
//
// A table that is full is followed by a larger one; the thread that makes it moves the numbers. A thread that knows of
// the new table enters nothing in the old one: it marks a free slot that it reaches, as the mover does, and a thread
// that reaches a mark continues in the next table (after Cliff Click's hash map, 2007). A thread that does not know yet
// may still fill a slot that the mover has not reached, and the mover moves it. Searches use the tables as they are;
// old ones, and those of a thread that was second to make one, are abandoned.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::ledger {

class NumberSet {
 public:
  bool prepare(uint32_t slots) {
    table_.store(allocate(slots), std::memory_order_release);
    return table_.load() != nullptr;
  }

  /// Unmaps the tables. Nobody uses them, or will.
  void give_back() {
    Table* table = first();
    table_.store(nullptr, std::memory_order_relaxed);
    while (table && next(*table)) table = next(*table);
    while (table) {
      Table* outgrown = table->previous;
      base::give_back_own_memory(reinterpret_cast<uintptr_t>(table), bytes_of(table->mask + 1));
      table = outgrown;
    }
  }

  /// The number for which `same` returns true, or 0.
  template <class Same>
  uint32_t find(uint64_t hash, Same same) const {
    for (const Table* table = first(); table; table = next(*table)) {
      for (uint64_t at = hash;; ++at) {
        uint32_t number = table->slots[at & table->mask].load(std::memory_order_acquire);
        if (number == kMoved) break;
        if (number == 0 || same(number)) return number;
      }
    }
    return 0;
  }

  /// Adds `number`, whose record is complete, unless there is one already for which `same` returns true. Returns the
  /// one in the set. If there is no memory, other threads do not find it. `hash_of(number)` is needed when growing.
  template <class Same, class HashOf>
  uint32_t insert(uint32_t number, Same same, HashOf hash_of) {
    const uint64_t hash = hash_of(number);
    for (Table* table = first(); table; table = next(*table)) {
      if (table->used.load(std::memory_order_relaxed) * 2 > table->mask) grow(*table, hash_of);
      uint32_t entered = enter(*table, hash, number, same);
      if (entered != kMoved) return entered;
    }
    return number;
  }

  /// The two for a set that is looked up by group: a group's first number is kept with the group (`first`, 0: none),
  /// and only further ones are in here. `hash()` is called if it is needed.
  template <class Same, class Hash>
  uint32_t find_in_group(const std::atomic<uint32_t>& first, Same same, Hash hash) const {
    uint32_t number = first.load(std::memory_order_acquire);
    return !number || same(number) ? number : find(hash(), same);
  }
  template <class Same, class HashOf>
  uint32_t insert_in_group(std::atomic<uint32_t>& first, uint32_t number, Same same, HashOf hash_of) {
    uint32_t known = 0;
    if (first.compare_exchange_strong(known, number, std::memory_order_acq_rel)) return number;
    return same(known) ? known : insert(number, same, hash_of);
  }

 private:
  struct Table {
    uint32_t mask;
    std::atomic<uint32_t> used;
    std::atomic<Table*> next;
    std::atomic<bool> moved;  ///< to the next
    std::atomic<uint32_t>* slots;
    Table* previous;
  };
  /// In a slot: the table ends here, and the rest is in the next.
  static constexpr uint32_t kMoved = UINT32_MAX;

  Table* first() const { return table_.load(std::memory_order_acquire); }
  static Table* next(const Table& table) { return table.next.load(std::memory_order_acquire); }

  static size_t bytes_of(uint32_t slots) { return sizeof(Table) + size_t{slots} * sizeof(uint32_t); }
  static Table* allocate(uint32_t slots) {
    auto* table = static_cast<Table*>(base::own_memory(bytes_of(slots)));
    if (!table) return nullptr;
    table->mask = slots - 1;
    table->slots = reinterpret_cast<std::atomic<uint32_t>*>(table + 1);
    return table;
  }

  /// kMoved: it belongs into the next table.
  template <class Same>
  static uint32_t enter(Table& table, uint64_t hash, uint32_t number, Same same) {
    for (uint64_t at = hash;; ++at) {
      auto& slot = table.slots[at & table.mask];
      uint32_t known = slot.load(std::memory_order_acquire);
      if (known == 0 && !next(table)) {
        // One slot is left free, which ends the searches.
        bool has_room = table.used.fetch_add(1, std::memory_order_relaxed) < table.mask;
        if (has_room && slot.compare_exchange_strong(known, number, std::memory_order_acq_rel)) return number;
        table.used.fetch_sub(1, std::memory_order_relaxed);
        if (!has_room && !next(table)) return number;
      }
      if (known == 0 && slot.compare_exchange_strong(known, kMoved, std::memory_order_acq_rel)) return kMoved;
      if (known == kMoved || same(known)) return known;
    }
  }

  template <class HashOf>
  void grow(Table& table, HashOf hash_of) {
    if (next(table)) return;
    Table* larger = allocate((table.mask + 1) * 4);
    Table* none = nullptr;
    if (!larger || !table.next.compare_exchange_strong(none, larger, std::memory_order_acq_rel)) return;
    larger->previous = &table;
    base::populate_memory(larger, bytes_of(larger->mask + 1));
    auto other = [](uint32_t) { return false; };
    for (uint64_t i = 0; i <= table.mask; ++i) {
      uint32_t number = 0;
      bool is_free = table.slots[i].compare_exchange_strong(number, kMoved, std::memory_order_acq_rel);
      if (is_free || number == kMoved) continue;
      for (Table* to = larger; to && enter(*to, hash_of(number), number, other) == kMoved;) to = next(*to);
    }
    table.moved.store(true, std::memory_order_release);
    // A mover that was slower than later ones clears their way, too.
    for (Table* oldest = first(); oldest->moved.load(std::memory_order_acquire); oldest = first())
      table_.compare_exchange_strong(oldest, next(*oldest), std::memory_order_acq_rel);
  }

  std::atomic<Table*> table_{nullptr};
};

}  // namespace unfreed::ledger
