#include "track/recent_stacks.h"

#include "base/own_memory.h"

namespace unfreed::track {

const RecentStacks::Branch* RecentStacks::find_branch(uint32_t id, uintptr_t value) const {
  return branches_.find(Branch::hash_of(id, value),
                        [=](const Branch& branch) { return branch.value == value && branch.id == id; });
}

const RecentStacks::Root* RecentStacks::find_root(uintptr_t pc, uintptr_t sp, uint32_t tag) const {
  return roots_.find(Root::hash_of(pc, sp), [=](const Root& root) { return root.is_for(pc, sp, tag); });
}

/// From the end of a segment on.
const RecentStacks::Leaf* RecentStacks::find_beyond(uint32_t number, uint64_t hash, size_t done) const {
  while (uint32_t otherwise = segments_[number].otherwise) {
    Extent extent = extent_of(number);
    uint32_t end = extent.first + extent.count;
    if (!end) return nullptr;  // all is 0 all of a sudden
    const Branch* branch = find_branch(segments_[number].id, word_at(places_[end - 1]));
    number = branch ? branch->child : otherwise;
    extent = extent_of(number);
    if (done + extent.count > kMostSlots) return nullptr;
    hash += hash_of_words(extent, done);
    done += extent.count;
  }
  const Segment& segment = segments_[number];
  if (segment.latest.value == hash) return &segment.latest;
  return find_leaf(hash + hash_of_shape(segment.id));
}

void RecentStacks::set_branch(uint32_t id, uintptr_t value, uint32_t child) {
  auto* known = const_cast<Branch*>(find_branch(id, value));
  Branch& branch = known ? *known : branches_.room_for(Branch::hash_of(id, value), fewer_bits_);
  branch = {value, id, child};
}

bool RecentStacks::has_room(size_t places) const {
  constexpr uint32_t kMostMade = 3;  // segments, for one stack
  return place_count_ + places <= kPlaces >> fewer_bits_ && segment_count_ + kMostMade < kSegments >> fewer_bits_;
}

/// Of the slots from `first_slot` on, with which the shape ends.
uint32_t RecentStacks::make_segment(const unwind::SlotLog& log, size_t first_slot) {
  uint32_t number = ++segment_count_;
  auto count = static_cast<uint32_t>(log.size - first_slot);
  segments_[number] = {{place_count_, count}, ++last_id_, 0, 0, 0, {}};
  for (size_t i = first_slot; i < log.size; ++i) places_[place_count_++] = place_of(log.slots[i].address);
  return number;
}

void RecentStacks::add_child(uint32_t segment, uint32_t child) {
  segments_[child].next_sibling = segments_[segment].first_child;
  segments_[segment].first_child = child;
}

/// Splits a segment: the addresses after the first `kept` become a segment of their own, its continuation.
void RecentStacks::split(uint32_t number, uint32_t kept) {
  Segment& segment = segments_[number];
  uint32_t rest = ++segment_count_;
  Extent extent = segment.extent;
  uint32_t sibling = segment.next_sibling;
  segments_[rest] = segment;
  segments_[rest].extent = {extent.first + kept, extent.count - kept};
  segments_[rest].next_sibling = 0;
  segment = {{extent.first, kept}, ++last_id_, rest, 0, sibling, {}};
  add_child(number, rest);
}

/// The child of a segment that goes on as the log does after `done` slots; 0 when there is none.
uint32_t RecentStacks::child_for(uint32_t segment, const unwind::SlotLog& log, size_t done) {
  auto goes_on = [&](uint32_t number) {
    const Extent& extent = segments_[number].extent;
    return extent.count == 0 ? done == log.size
                             : done < log.size && places_[extent.first] == place_of(log.slots[done].address);
  };
  const Branch* branch = find_branch(segments_[segment].id, log.slots[done - 1].value);
  uint32_t likely = branch ? branch->child : segments_[segment].otherwise;
  if (goes_on(likely)) return likely;
  for (uint32_t child = segments_[segment].first_child; child; child = segments_[child].next_sibling)
    if (goes_on(child)) {
      set_branch(segments_[segment].id, log.slots[done - 1].value, child);
      return child;
    }
  return 0;
}

/// The last segment of the log's shape, which is taken into the tree if it is new.
uint32_t RecentStacks::learn_shape(Root& root, const unwind::SlotLog& log) {
  if (!root.segment) return root.segment = make_segment(log, 0);
  uint32_t number = root.segment;
  size_t done = 0;
  for (;;) {
    Extent extent = segments_[number].extent;
    uint32_t same = 0;
    while (same < extent.count && done + same < log.size &&
           places_[extent.first + same] == place_of(log.slots[done + same].address))
      ++same;
    done += same;
    bool ends = !segments_[number].otherwise;
    if (same == extent.count && ends && done == log.size) return number;
    if (same == 0 && extent.count)
      return root.segment = make_segment(log, 0);  // a root's, of code that has come in another's place
    if (same < extent.count || ends) split(number, same);
    if (uint32_t child = child_for(number, log, done)) {
      number = child;
      continue;
    }
    uint32_t child = make_segment(log, done);
    add_child(number, child);
    set_branch(segments_[number].id, log.slots[done - 1].value, child);
    return child;
  }
}

void RecentStacks::remember(const Key& key, uint32_t site, ledger::Cell* cell, const unwind::SlotLog& log) {
  if (!log.size || log.size > kMostSlots) return;
  if (!has_room(log.size)) clear();
  version_ = ++last_version_;
  uint64_t place = Root::hash_of(key.pc, key.sp);
  auto* root = const_cast<Root*>(find_root(key.pc, key.sp, key.tag));
  if (!root) {
    root = &roots_.room_for(place, fewer_bits_);
    *root = {key.pc, key.sp, seed_of(key), key.tag, 0};
  }
  Segment& segment = segments_[learn_shape(*root, log)];
  uint64_t hash = root->seed;
  for (size_t i = 0; i < log.size; ++i) hash += log.slots[i].value * kMultipliers[i];
  if (!segment.latest.is_empty() && segment.latest.value != hash) {
    Leaf earlier = segment.latest;
    earlier.value += hash_of_shape(segment.id);
    Leaf* known = find_leaf(earlier.value);
    (known ? *known : leaves_.room_for(earlier.value, fewer_bits_)) = earlier;
  }
  segment.latest = {hash, cell, site};
}

void RecentStacks::clear() {
  if (!segment_count_) return;
  version_ = ++last_version_;
  roots_.clear();
  leaves_.clear();
  branches_.clear();
  place_count_ = segment_count_ = 0;
}

void RecentStacks::forget_in_fork_children() {
  auto* start = reinterpret_cast<std::byte*>(&version_);
  base::zero_in_fork_children(start, static_cast<size_t>(reinterpret_cast<std::byte*>(&last_word_) - start));
}

}  // namespace unfreed::track
