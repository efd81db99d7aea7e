// A hash table of sets of four, like a processor's cache: an entry is in the slot that its hash selects or, if
// that was occupied, in another of the same set, or else of a second set. If both are full, one of the entries there
// moves to its own alternative set (one step of cuckoo hashing; Pagh and Rodler, 2001). So the table fills up
// evenly, and a short program touches few pages. It starts small and grows within its
// memory; once that is all in use, newcomers replace others. It lies in zeroed memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace unfreed::track {

/// `Entry` is trivial, empty when zeroed, and has is_empty() and hash(), of which the upper bits matter. It grows when
/// that many quarters of it are full: with fewer, more entries are in their first slot.
template <class Entry, unsigned kFirstBits, unsigned kMostBits, unsigned kFullQuarters = 3>
class SetTable {
 public:
  /// The entry in the slot that the hash selects, most often the one that is looked for.
  const Entry& likely(uint64_t hash) const { return entries_[place_of(hash)]; }

  /// The entry for which `is` returns true, or nullptr.
  template <class Is>
  [[gnu::always_inline]] const Entry* find(uint64_t hash, Is is) const {
    size_t place = place_of(hash);
    if (is(entries_[place])) [[likely]]
      return &entries_[place];
    for (size_t other = 1; other < kSet; ++other)
      if (is(entries_[place ^ other])) return &entries_[place ^ other];
    place = place_of(second(hash));
    for (size_t other = 0; other < kSet; ++other)
      if (is(entries_[place ^ other])) return &entries_[place ^ other];
    return nullptr;
  }
  template <class Is>
  Entry* find(uint64_t hash, Is is) {
    return const_cast<Entry*>(static_cast<const SetTable*>(this)->find(hash, is));
  }

  /// A slot for an entry that is not in the table: the caller fills it in. One part in 2^`fewer_bits` of the memory is
  /// all that may be used.
  Entry& room_for(uint64_t hash, unsigned fewer_bits = 0) {
    for (;;) {
      bool may_grow = kFirstBits + grown_ + fewer_bits < kMostBits;
      bool is_full = count_ * 4 >= size() * kFullQuarters;
      Entry* free = may_grow && is_full ? nullptr : free_place(hash);
      if (free) {
        ++count_;
        return *free;
      }
      if (!may_grow) return entries_[place_of(hash) ^ (++turn_ % kSet)];
      grow();
    }
  }

  void clear() {
    if (!count_) return;  // untouched memory stays untouched
    for (size_t i = 0; i < size(); ++i) entries_[i] = {};
    count_ = grown_ = 0;
  }

  /// Of the object's memory: so much, from its start, may come to be touched then.
  static constexpr size_t bytes_in_use(unsigned fewer_bits) {
    return sizeof(SetTable) - sizeof entries_ +
           sizeof(Entry) * std::max(size_t{1} << kFirstBits, std::size_t{1} << (kMostBits - fewer_bits));
  }

 private:
  static constexpr size_t kSet = 4;

  size_t size() const { return size_t{1} << (kFirstBits + grown_); }
  size_t place_of(uint64_t hash) const { return hash >> (64 - kFirstBits - grown_); }
  static uint64_t second(uint64_t hash) { return (hash ^ hash >> 32) * 0xd6e8feb86659fd93u; }

  static Entry* free_in(Entry* set, size_t place) {
    for (size_t other = 0; other < kSet; ++other)
      if (set[(place ^ other) % kSet].is_empty()) return &set[(place ^ other) % kSet];
    return nullptr;
  }
  Entry* set_at(size_t place) { return entries_ + (place & ~(kSet - 1)); }
  Entry* free_place(uint64_t hash) {
    size_t first = place_of(hash);
    if (Entry* free = free_in(set_at(first), first)) return free;
    size_t other = place_of(second(hash));
    if (Entry* free = free_in(set_at(other), other)) return free;
    for (size_t place : {first, other})
      for (size_t i = 0; i < kSet; ++i)
        if (Entry& entry = entries_[place ^ i]; make_room_of(entry)) return &entry;
    return nullptr;
  }
  /// Moves an entry into the other one of its sets, if that has room.
  bool make_room_of(Entry& entry) {
    uint64_t hash = entry.hash();
    size_t place = place_of(hash);
    if (set_at(place) == set_at(static_cast<size_t>(&entry - entries_))) place = place_of(second(hash));
    Entry* free = free_in(set_at(place), place);
    if (!free) return false;
    *free = entry;
    entry = {};
    return true;
  }

  /// Each set's entries go to the two sets that take its place; from the last set down, what those hold has gone by
  /// then. Their memory is written before it is read, or each new page would cost two faults.
  void grow() {
    size_t set = size() / kSet;
    ++grown_;
    while (set-- > 0) {
      Entry two_sets[2 * kSet] = {};
      for (size_t i = 0; i < kSet; ++i) {
        const Entry& entry = entries_[set * kSet + i];
        if (entry.is_empty()) continue;
        size_t place = place_of(entry.hash());
        if (place / kSet / 2 != set) place = place_of(second(entry.hash()));
        *free_in(two_sets + place / kSet % 2 * kSet, place) = entry;
      }
      std::copy(std::begin(two_sets), std::end(two_sets), entries_ + 2 * kSet * set);
    }
  }

  uint32_t count_;
  uint32_t grown_;
  uint32_t turn_;
  alignas(64) Entry entries_[size_t{1} << kMostBits];
};

}  // namespace unfreed::track
