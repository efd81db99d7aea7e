// The packed form of a row.
#include "unwind/row.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace unfreed::unwind
