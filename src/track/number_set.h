// A set of record numbers hashed by what the records say. Lock-free for readers, who take the table as it is; growth
// publishes a larger copy and leaves the old one to those that still hold it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/own_memory.h"

namespace unfreed::track {

class NumberSet {
 public:
  bool prepare(uint32_t slots) {
    table_.store(allocate(slots), std::memory_order_release);
    return table_.load() != nullptr;
  }

  /// The number for which `same` says yes, or 0. Lock-free.
  template <class Same>
  uint32_t find(uint64_t hash, Same same) const {
    const Table* table = table_.load(std::memory_order_acquire);
    for (uint64_t at = hash;; ++at) {
      uint32_t number = table->slots[at & table->mask].load(std::memory_order_acquire);
      if (number == 0 || same(number)) return number;
    }
  }

  /// Adds `number`, which is not in the set. The caller holds the lock. `hash_of(number)` is needed when growing.
  template <class HashOf>
  void insert(uint32_t number, HashOf hash_of) {
    Table* table = table_.load(std::memory_order_relaxed);
    if (++used_ * 2 > table->mask) {
      if (Table* larger = allocate((table->mask + 1) * 4)) {
        for (uint64_t i = 0; i <= table->mask; ++i)
          if (uint32_t known = table->slots[i].load(std::memory_order_relaxed)) place(*larger, known, hash_of(known));
        table_.store(larger, std::memory_order_release);
        table = larger;
      } else if (used_ > table->mask) {
        return;  // no memory and one free slot left, which ends the searches: the record is found by nobody else
      }
    }
    place(*table, number, hash_of(number));
  }

 private:
  struct Table {
    uint32_t mask;
    std::atomic<uint32_t>* slots;
  };

  static Table* allocate(uint32_t slots) {
    auto* table = static_cast<Table*>(base::own_memory(sizeof(Table) + size_t{slots} * sizeof(uint32_t)));
    if (!table) return nullptr;
    table->mask = slots - 1;
    table->slots = reinterpret_cast<std::atomic<uint32_t>*>(table + 1);
    return table;
  }
  static void place(Table& table, uint32_t number, uint64_t hash) {
    uint64_t at = hash;
    while (table.slots[at & table.mask].load(std::memory_order_relaxed)) ++at;
    table.slots[at & table.mask].store(number, std::memory_order_release);
  }
  std::atomic<Table*> table_{nullptr};
  uint64_t used_ = 0;
};

}  // namespace unfreed::track
