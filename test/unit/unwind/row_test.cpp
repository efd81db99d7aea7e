// Rows: their packed form, the cache of them, and runs over call frame information that are gone on from.
#include "unwind/row.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <set>

#include "unwind/eh_frame.h"
#include "unwind/objects.h"
#include "unwind/row_cache.h"

namespace unfreed::unwind {
namespace {

TEST(Row, SurvivesPacking) {
  for (CfaRule cfa :
       {CfaRule::none, CfaRule::sp, CfaRule::bp, CfaRule::at_bp, CfaRule::plt, CfaRule::signal, CfaRule::end})
    for (BpRule bp : {BpRule::same, BpRule::at_cfa, BpRule::at_bp})
      for (int32_t cfa_offset : {-(1 << 20), -8, 0, 8, 4096, (1 << 23) - 8})
        for (int32_t bp_offset : {-(1 << 21), -16, 0, 8, (1 << 21) - 8})
          for (uint32_t module : {0u, 1u, 65535u}) {
            ASSERT_TRUE(Row::fits(cfa_offset, bp_offset));
            Row row{cfa, bp, cfa_offset, bp_offset, module};
            Row back = Row::unpack(row.pack());
            EXPECT_EQ(back.cfa, cfa);
            EXPECT_EQ(back.bp, bp);
            EXPECT_EQ(back.cfa_offset, cfa_offset);
            EXPECT_EQ(back.bp_offset, bp_offset);
            EXPECT_EQ(back.module, module);
          }
}

TEST(Row, SaysWhatDoesNotFit) {
  EXPECT_FALSE(Row::fits(12, 0));
  EXPECT_FALSE(Row::fits(0, -4));
  EXPECT_FALSE(Row::fits(1 << 23, 0));
  EXPECT_FALSE(Row::fits(0, 1 << 21));
}

TEST(RecentRuns, TellWhatFreshRunsTell) {
  prepare_objects();
  Object object;
  ASSERT_TRUE(find_object(reinterpret_cast<uintptr_t>(&qsort), object));
  ASSERT_NE(object.eh_frame_hdr, 0u);
  auto recent = std::make_unique<RecentRuns>();
  std::mt19937_64 random(1);
  std::set<uint64_t> rows;
  for (int place = 0; place < 4000; ++place) {
    uintptr_t about = object.image.low + random() % (object.image.high - object.image.low - 4096);
    // Forwards and backwards through a function or two.
    for (int i = 0; i < 40; ++i) {
      uintptr_t pc = about + random() % 2048;
      uint64_t fresh = find_row(object.image, object.eh_frame_hdr, pc).pack();
      ASSERT_EQ(find_row(object.image, object.eh_frame_hdr, pc, recent.get()).pack(), fresh) << std::hex << pc;
      rows.insert(fresh);
    }
    if (place % 1000 == 999) recent->forget();
  }
  EXPECT_GT(rows.size(), 30u);
}

TEST(RowCache, NeverTellsAnotherKeysRow) {
  static RowCache cache;
  ASSERT_TRUE(cache.prepare());
  constexpr uint64_t kKeys = 20000;  // it grows on the way
  auto key_of = [](uint64_t i) { return 0x1'5555'0000'0000 + i * 24; };
  auto row_of = [](uint64_t i) { return i * 0x9e3779b97f4a7c15u; };
  uint64_t row = 0;
  EXPECT_FALSE(cache.find(key_of(1), row));
  for (uint64_t i = 0; i < kKeys; ++i) {
    cache.put(key_of(i), row_of(i));
    ASSERT_TRUE(cache.find(key_of(i), row)) << i;
    ASSERT_EQ(row, row_of(i));
  }
  uint64_t known = 0;
  for (uint64_t i = 0; i < kKeys; ++i) {
    if (!cache.find(key_of(i), row)) continue;
    ASSERT_EQ(row, row_of(i)) << i;
    ++known;
  }
  EXPECT_GT(known, kKeys / 2);
  for (uint64_t i = 0; i < kKeys; ++i) EXPECT_FALSE(cache.find(key_of(i) + 8, row));
}

}  // namespace
}  // namespace unfreed::unwind
