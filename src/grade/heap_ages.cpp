#include "grade/heap_ages.h"

#include <algorithm>

#include "base/age_class.h"
#include "track/epochs.h"
#include "track/tests.h"

namespace unfreed::grade {

using ledger::SectionId;

HeapAges::Group* HeapAges::place_of(Group* groups, size_t capacity, uint64_t key) {
  size_t at = key * 0x9e3779b97f4a7c15u >> 32 & (capacity - 1);
  while (groups[at].key && groups[at].key != key) at = (at + 1) & (capacity - 1);
  return &groups[at];
}

bool HeapAges::grow() {
  constexpr size_t kFirst = 1024;
  size_t capacity = capacity_ ? capacity_ * 2 : kFirst;
  auto* groups = table_ < kTables ? tables_[table_].reserve_array<Group>(capacity) : nullptr;
  if (!groups) return false;
  for (size_t at = 0; at < capacity_; ++at)
    if (groups_[at].key) *place_of(groups, capacity, groups_[at].key) = groups_[at];
  ++table_;
  groups_ = groups;
  capacity_ = capacity;
  return true;
}

void HeapAges::add(uint32_t site, uint32_t epoch, uint64_t bytes) {
  if (last_.group && last_.site == site && last_.epoch == epoch) {
    ++last_.group->age.blocks;
    last_.group->age.bytes += bytes;
    return;
  }
  last_.group = nullptr;
  if (used_ * 2 >= capacity_ && !is_unknown_) is_unknown_ = !grow();
  if (is_unknown_) return;
  track::BirthTime birth = track::birth_time(epoch, taken_ns_);
  if (epoch != epoch_) {
    epoch_ = epoch;
    test_ = track::test_of_epoch(epoch);
  }
  constexpr unsigned kTestShift = 40;  // above sites and their classes of age
  uint64_t key = uint64_t{test_} << kTestShift |
                 (uint64_t{site} * base::kAgeClasses + base::age_class(taken_ns_ - birth.from_ns) + 1);
  Group& group = *place_of(groups_, capacity_, key);
  if (!group.key) {
    ++used_;
    group = {key, {site, test_, 0, 0, birth.from_ns, birth.to_ns}};
  }
  ++group.age.blocks;
  group.age.bytes += bytes;
  group.age.born_from_ns = std::min(group.age.born_from_ns, birth.from_ns);
  group.age.born_to_ns = std::max(group.age.born_to_ns, birth.to_ns);
  last_ = {site, epoch, &group};
}

void HeapAges::write(ledger::Writer& out) const {
  ledger::Section& table = out.section(SectionId::heap_ages);
  table.count.store(0, std::memory_order_relaxed);
  for (size_t at = 0; at < capacity_ && !is_unknown_; ++at) {
    if (!groups_[at].key) continue;
    uint64_t index;
    auto* record = out.append<ledger::HeapAge>(SectionId::heap_ages, index);
    if (!record) return table.count.store(0, std::memory_order_relaxed);
    *record = groups_[at].age;
  }
}

}  // namespace unfreed::grade
