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

// Just outside of what the packed form of one processor holds.
#ifdef __x86_64__
constexpr int32_t kMostCfa = 1 << 23, kMostBp = 1 << 21;
constexpr int32_t kReturnOffsets[] = {-8};
#else
constexpr int32_t kMostCfa = 1 << 20, kMostBp = 1 << 19;
constexpr int32_t kReturnOffsets[] = {-256, -8, 0, 8, 248};  // from where bp is saved
#endif

Row row_of(CfaRule cfa, BpRule bp, int32_t cfa_offset, int32_t bp_offset, uint32_t module = 1, int32_t between = -8) {
  Row row{cfa, bp, cfa_offset, bp_offset, module};
#ifdef __aarch64__
  row.return_offset = bp_offset + between;
#else
  row.return_offset = between;
#endif
  return row;
}

TEST(Row, SurvivesPacking) {
  for (CfaRule cfa :
       {CfaRule::none, CfaRule::sp, CfaRule::bp, CfaRule::at_bp, CfaRule::plt, CfaRule::signal, CfaRule::end})
    for (BpRule bp : {BpRule::same, BpRule::at_cfa, BpRule::at_bp})
      for (int32_t cfa_offset : {-(1 << 20), -8, 0, 8, 4096, kMostCfa - 8})
        for (int32_t bp_offset : {-kMostBp, -16, 0, 8, kMostBp - 8})
          for (int32_t between : kReturnOffsets)
            for (uint32_t module : {0u, 1u, 65535u}) {
              Row row = row_of(cfa, bp, cfa_offset, bp_offset, module, between);
              ASSERT_TRUE(row.fits());
              Row back = Row::unpack(row.pack());
              EXPECT_EQ(back.cfa, cfa);
              EXPECT_EQ(back.bp, bp);
              EXPECT_EQ(back.cfa_offset, cfa_offset);
              EXPECT_EQ(back.bp_offset, bp_offset);
              EXPECT_EQ(back.return_offset, row.return_offset);
              EXPECT_EQ(back.returns, ReturnRule::at_cfa);
              EXPECT_EQ(back.module, module);
            }
}

TEST(Row, SaysWhatDoesNotFit) {
  auto fits = [](int32_t cfa_offset, int32_t bp_offset, int32_t between = -8) {
    return row_of(CfaRule::sp, BpRule::at_cfa, cfa_offset, bp_offset, 1, between).fits();
  };
  EXPECT_TRUE(fits(0, 0));
  EXPECT_FALSE(fits(12, 0));
  EXPECT_FALSE(fits(0, -4));
  EXPECT_FALSE(fits(kMostCfa, 0));
  EXPECT_FALSE(fits(0, kMostBp));
  EXPECT_FALSE(fits(0, 0, 4));
  EXPECT_FALSE(fits(0, 0, 256));
  Row in_link = row_of(CfaRule::sp, BpRule::same, 0, 0);
  in_link.returns = ReturnRule::in_link;
#ifdef __x86_64__
  EXPECT_FALSE(in_link.fits());
#else
  EXPECT_TRUE(in_link.fits());
  EXPECT_EQ(Row::unpack(in_link.pack()).returns, ReturnRule::in_link);
#endif
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
