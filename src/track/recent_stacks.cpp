#include "track/recent_stacks.h"

namespace unfreed::track {

namespace {

/// Which word of the stack at `sp` that is, if it can be named so.
bool word_number(uintptr_t address, uintptr_t sp, uint16_t& number) {
  uintptr_t words = (address - sp) / sizeof(uintptr_t);
  number = static_cast<uint16_t>(words);
  return address >= sp && words <= UINT16_MAX;
}

bool is_slot(const unwind::SlotLog& log, uintptr_t address) {
  for (size_t i = 0; i < log.size; ++i)
    if (log.slots[i].address == address) return true;
  return false;
}

}  // namespace

/// What in the stack as it is now differs from `known` first tells the two apart. False: nothing new.
bool RecentStacks::learn_discriminator(Entry& root, const Entry& known) const {
  if (root.discriminator_count == kMostDiscriminators || root.changes >= kMostChanges) return false;
  for (uint32_t g = known.first_group; g < known.first_group + known.groups; ++g)
    for (size_t i = 0; i < kGroupSlots; ++i) {
      uintptr_t address = groups_[g].addresses[i];
      if (*reinterpret_cast<const uintptr_t*>(address) == groups_[g].values[i]) continue;
      uint16_t number;
      if (!word_number(address, root.sp, number)) return false;
      for (size_t k = 0; k < root.discriminator_count; ++k)
        if (root.discriminators[k] == number) return false;
      root.discriminators[root.discriminator_count++] = number;
      ++root.changes;
      return true;
    }
  return false;
}

/// Takes out the words that this stack does not depend on: whatever lies there is another frame's business.
bool RecentStacks::drop_foreign_discriminators(Entry& root, const unwind::SlotLog& log) {
  if (root.changes >= kMostChanges) return false;
  uint8_t kept = 0;
  for (size_t i = 0; i < root.discriminator_count; ++i)
    if (is_slot(log, root.sp + root.discriminators[i] * sizeof(uintptr_t)))
      root.discriminators[kept++] = root.discriminators[i];
  bool dropped = kept < root.discriminator_count;
  root.discriminator_count = kept;
  if (dropped) ++root.changes;
  return dropped;
}

/// Stores the slots. False: there was no room left, and now all is forgotten.
bool RecentStacks::place(Entry& entry, const unwind::SlotLog& log) {
  size_t groups = (log.size + kGroupSlots - 1) / kGroupSlots;
  if (entry.groups < groups) {
    if (group_count_ + groups > group_limit_) {
      clear();
      return false;
    }
    entry.first_group = group_count_;
    group_count_ += static_cast<uint32_t>(groups);
  }
  entry.groups = static_cast<uint16_t>(groups);
  for (size_t i = 0; i < groups * kGroupSlots; ++i) {
    const unwind::Slot& slot = log.slots[i < log.size ? i : log.size - 1];
    Group& group = groups_[entry.first_group + i / kGroupSlots];
    group.addresses[i % kGroupSlots] = slot.address;
    group.values[i % kGroupSlots] = slot.value;
  }
  return true;
}

/// The place that a root's discriminators lead to, below; a mark of which they are, above.
uint32_t RecentStacks::mark_of(const Entry& root) {
  uint64_t hash = root.discriminator_count;
  for (size_t i = 0; i < root.discriminator_count; ++i) hash = hash * 0x9e3779b97f4a7c15u + root.discriminators[i];
  auto words = static_cast<uint32_t>(hash * 0xd6e8feb86659fd93u >> 32);
  return words << kLeafBits | static_cast<uint32_t>(first_leaf(hash_of(root, root.sp)));
}

/// The leaf that stands under the hash, or the place for it.
RecentStacks::Entry& RecentStacks::leaf_for(const Entry& root, uint64_t hash) {
  Entry& first = leaves_[first_leaf(hash)];
  Entry& second = leaves_[first_leaf(hash) ^ 1];
  for (Entry* leaf : {&first, &second})
    if (leaf->hash == hash && leaf->is_for(root.pc, root.sp, root.tag)) return *leaf;
  if (!first.sp || !second.sp) return first.sp ? second : first;
  return version_ & 1 ? first : second;
}

void RecentStacks::note_use(uint32_t number) {
  if (used_count_ < kMostUsed) used_[used_count_] = static_cast<uint16_t>(number);
  ++used_count_;
}

void RecentStacks::remember(const Key& key, uint32_t site, ledger::Cell* cell, const unwind::SlotLog& log,
                            uint32_t& placed) {
  if (!log.size || log.size > kGroupSlots * UINT16_MAX / 2) return;
  ++version_;
  size_t number = root_index(key.pc, key.sp);
  Entry& root = roots_[number];
  if (!root.is_for(key.pc, key.sp, key.tag)) {
    if (!root.sp) note_use(static_cast<uint32_t>(number));
    root.start(key);
  } else {
    const Entry& known = root.discriminator_count ? leaf_for(root, hash_of(root, key.sp)) : root;
    if (known.is_for(key.pc, key.sp, key.tag)) learn_discriminator(root, known);
  }
  Entry* entry = &root;
  if (root.discriminator_count) {
    uint32_t mark = mark_of(root);
    bool misled = placed && (placed ^ mark) >> kLeafBits == 0 && placed != mark;
    // Where nothing can be mended any more it is not worth a place.
    if (misled && !drop_foreign_discriminators(root, log)) return;
    if (root.discriminator_count) {
      placed = mark_of(root);
      uint64_t hash = hash_of(root, key.sp);
      entry = &leaf_for(root, hash);
      if (!entry->sp) note_use(static_cast<uint32_t>((size_t{1} << kRootBits) + static_cast<size_t>(entry - leaves_)));
      entry->start(key);
      entry->hash = hash;
    }
  }
  if (!place(*entry, log)) return;
  entry->site = site;
  entry->cell = cell;
}

void RecentStacks::clear() {
  ++version_;
  if (used_count_ > kMostUsed) {
    std::memset(roots_, 0, sizeof roots_);
    std::memset(leaves_, 0, sizeof leaves_);
  } else {
    for (uint32_t i = 0; i < used_count_; ++i) {
      size_t number = used_[i];
      bool is_root = number < size_t{1} << kRootBits;
      (is_root ? roots_[number] : leaves_[number - (size_t{1} << kRootBits)]) = {};
    }
  }
  used_count_ = 0;
  group_count_ = 0;
}

}  // namespace unfreed::track
