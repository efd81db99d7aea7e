// A set of record numbers hashed by what the records say. Lock-free and async-signal-safe, since stacks are entered
// from signal handlers too, and blocking signals would cost two system calls for each new stack.
//
// A table that fills up is followed by a larger one, and who makes that moves the numbers. Whoever knows of it enters
// nothing in the old one any more: a free slot that he comes to is marked, as it is by the mover, and who comes upon a
// mark goes on in the next table (after Cliff Click's hash map, 2007). Who does not know yet may still fill a slot
// that the mover has not come to, and the mover takes it along. Searches take the tables as they find them; old ones,
// and those of whoever was second to make one, are left behind.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/own_memory.h"
#include "base/syscall.h"

namespace unfreed::track {

class NumberSet {
 public:
  bool prepare(uint32_t slots) {
    table_.store(allocate(slots), std::memory_order_release);
    return table_.load() != nullptr;
  }

  /// The number for which `same` says yes, or 0.
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

  /// Adds `number`, whose record is complete, unless there is one already for which `same` says yes; that is returned,
  /// else `number`. Where there is no memory it is found by nobody else. `hash_of(number)` is needed when growing.
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

  /// The two for a set that is looked up by group: a group's first number stands with the group (`first`, 0: none), and
  /// only what comes second is in here. `hash()` is asked for if it is needed.
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
  };
  /// In a slot: here ends what the table has, the rest is in the next.
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

}  // namespace unfreed::track
