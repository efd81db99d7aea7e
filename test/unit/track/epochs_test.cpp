// When blocks were born, by the epochs that they carry.
#include "track/epochs.h"

#include <gtest/gtest.h>

#include "base/age_class.h"
#include "base/syscall.h"
#include "track/tracker.h"

namespace unfreed::track {
namespace {

constexpr uint64_t kSecond = 1'000'000'000, kDay = 86400 * kSecond;

uint32_t current() { return g_tracker.heap_epoch.load(); }

TEST(Epochs, LastLongerAsTheProcessGrowsOlder) {
  start_epochs();
  uint64_t start = birth_time(1, UINT64_MAX).from_ns;
  EXPECT_EQ(current(), 1u);
  note_time(start + 9'000'000);
  EXPECT_EQ(current(), 1u);
  note_time(start + 10'000'000);
  EXPECT_EQ(current(), 2u);

  // Noted once a second for a day, then every two minutes for ten years: bounded, and never coarser than promised.
  for (uint64_t at = kSecond; at < kDay; at += kSecond) {
    note_time(start + at);
    BirthTime time = birth_time(current(), start + at);
    ASSERT_LE(time.to_ns - time.from_ns, kSecond + at / 1024);
  }
  for (uint64_t at = kDay; at < 3650 * kDay; at += 120 * kSecond) note_time(start + at);
  EXPECT_LT(current(), kLastEpoch / 4 * 3);
  EXPECT_GT(current(), 10'000u);

  // Each ends where the next begins.
  uint64_t now = start + 3650 * kDay;
  for (uint32_t epoch = 1; epoch < current(); ++epoch)
    ASSERT_EQ(birth_time(epoch, now).to_ns, birth_time(epoch + 1, now).from_ns);
  EXPECT_EQ(birth_time(current(), now).to_ns, now);

  // Marks go on where time does not, up to the last.
  uint32_t before = current();
  EXPECT_EQ(open_epoch(), before + 1);
  while (current() < kLastEpoch) open_epoch();
  EXPECT_EQ(open_epoch(), kLastEpoch);
  note_time(now + 3650 * kDay);
  EXPECT_EQ(current(), kLastEpoch);
}

TEST(Ages, AreKnownToAnEighth) {
  for (uint64_t age = 8000; age < uint64_t{1} << 60; age += age / 1000) {
    ASSERT_LE(base::age_class(age), base::age_class(age + age / 1000));
    ASSERT_NE(base::age_class(age), base::age_class(age + age / 8 + 1000));
  }
}

}  // namespace
}  // namespace unfreed::track
