// The table of sets, alone.
#include "track/set_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>

namespace unfreed::track {
namespace {

struct Number {
  uint64_t value;
  bool is_empty() const { return !value; }
  uint64_t hash() const { return value * 0x9e3779b97f4a7c15u; }
};
using Table = SetTable<Number, 4, 10>;

class Set : public testing::Test {
 protected:
  const Number* find(uint64_t value) const {
    return table_->find(Number{value}.hash(), [value](const Number& number) { return number.value == value; });
  }
  void put(uint64_t value, unsigned fewer_bits = 0) { table_->room_for(Number{value}.hash(), fewer_bits) = {value}; }
  uint64_t known_up_to(uint64_t last) const {
    uint64_t known = 0;
    for (uint64_t value = 1; value <= last; ++value) known += find(value) != nullptr;
    return known;
  }

  std::unique_ptr<Table> table_ = std::make_unique<Table>();
};

TEST_F(Set, LosesNothingAsItGrows) {
  for (uint64_t value = 1; value <= 400; ++value) {
    put(value);
    ASSERT_EQ(known_up_to(value), value);
  }
  EXPECT_EQ(find(401), nullptr);
}

TEST_F(Set, TouchesLittleMemory) {
  // Three quarters of 512 places: sets that are full do not make the table grow before that.
  for (uint64_t value = 1; value <= 384; ++value) put(value);
  constexpr size_t kPlaces = 1024;
  static_assert(sizeof(Table) > kPlaces * sizeof(Number));
  const auto* end = reinterpret_cast<const std::byte*>(table_.get() + 1);
  const std::byte* second_half = end - kPlaces / 2 * sizeof(Number);
  EXPECT_TRUE(std::all_of(second_half, end, [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_F(Set, ReplacesOthersOnceItIsFull) {
  for (uint64_t value = 1; value <= 5000; ++value) {
    put(value);
    ASSERT_NE(find(value), nullptr);
  }
  EXPECT_GT(known_up_to(5000), 900u);
  EXPECT_LE(known_up_to(5000), 1024u);
}

TEST_F(Set, KeepsToAnEighthWhereItIsToldTo) {
  for (uint64_t value = 1; value <= 5000; ++value) put(value, 3);
  EXPECT_LE(known_up_to(5000), 128u);
}

TEST_F(Set, ForgetsOnRequestAndStartsSmallAgain) {
  for (uint64_t value = 1; value <= 5000; ++value) put(value);
  table_->clear();
  EXPECT_EQ(known_up_to(5000), 0u);
  for (uint64_t value = 1; value <= 100; ++value) put(value);
  EXPECT_EQ(known_up_to(100), 100u);
}

}  // namespace
}  // namespace unfreed::track
