// A hash table of sets of four, like a processor's cache: an entry stands in the place that its hash leads to or, if
// that was taken, in another of the same set. It starts small, so that a short program touches few pages, and grows
// within its memory; once that is all in use, newcomers replace others. It lies in zeroed memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::track {

/// `Entry` is trivial, empty when zeroed, and has is_empty() and hash(), of which the upper bits matter.
template <class Entry, unsigned kFirstBits, unsigned kMostBits>
class SetTable {
 public:
  /// What stands in the place that the hash leads to, most often the entry that is looked for.
  const Entry& likely(uint64_t hash) const { return entries_[place_of(hash)]; }

  /// The entry of which `is` is true, or nullptr.
  template <class Is>
  [[gnu::always_inline]] const Entry* find(uint64_t hash, Is is) const {
    size_t place = place_of(hash);
    if (is(entries_[place])) [[likely]]
      return &entries_[place];
    for (size_t other = 1; other < kSet; ++other)
      if (is(entries_[place ^ other])) return &entries_[place ^ other];
    return nullptr;
  }
  template <class Is>
  Entry* find(uint64_t hash, Is is) {
    return const_cast<Entry*>(static_cast<const SetTable*>(this)->find(hash, is));
  }

  /// The place for an entry that is not there yet: the caller fills it in.
  Entry& room_for(uint64_t hash) {
    bool may_grow = kFirstBits + grown_ < kMostBits - (is_small_ ? 3 : 0);
    if (may_grow && (count_ * 2 >= size() || !free_in_set(hash))) grow();
    if (Entry* free = free_in_set(hash)) {
      ++count_;
      return *free;
    }
    return entries_[place_of(hash) ^ (++turn_ % kSet)];
  }

  void clear() {
    if (!count_) return;  // untouched memory stays untouched
    for (size_t i = 0; i < size(); ++i) entries_[i] = {};
    count_ = grown_ = 0;
  }

  /// An eighth of the memory is all it may come to fill.
  void set_small(bool small) { is_small_ = small; }

 private:
  static constexpr size_t kSet = 4;

  size_t size() const { return size_t{1} << (kFirstBits + grown_); }
  size_t place_of(uint64_t hash) const { return hash >> (64 - kFirstBits - grown_); }

  Entry* free_in_set(uint64_t hash) {
    for (size_t other = 0; other < kSet; ++other)
      if (entries_[place_of(hash) ^ other].is_empty()) return &entries_[place_of(hash) ^ other];
    return nullptr;
  }

  /// Each set's entries go to the two sets that take its place; from the last set down, those are free by then.
  void grow() {
    size_t old_size = size();
    ++grown_;
    for (size_t set = old_size; set > 0; set -= kSet) {
      Entry moving[kSet];
      for (size_t i = 0; i < kSet; ++i) {
        moving[i] = entries_[set - kSet + i];
        entries_[set - kSet + i] = {};
      }
      for (const Entry& entry : moving)
        if (!entry.is_empty()) *free_in_set(entry.hash()) = entry;
    }
  }

  uint32_t count_;
  uint32_t grown_;
  uint32_t turn_;
  bool is_small_;
  alignas(64) Entry entries_[size_t{1} << kMostBits];
};

}  // namespace unfreed::track
