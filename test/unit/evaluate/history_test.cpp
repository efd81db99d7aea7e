// What was live at a site at earlier times.
#include <gtest/gtest.h>

#include <string>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::Kind;
using test::Evaluated;

class SiteHistoryTest : public ::testing::Test {
 protected:
  SiteHistoryTest() {
    builder_.header().started_monotonic_ns = 1'000;
    input_.now_monotonic_ns = 10'000;
    input_.all_sites = true;
  }
  uint32_t site(Kind kind) { return builder_.site(kind, 1, builder_.stack({{module_, 0x100 * ++sites_}})); }
  ledger::SiteHistory& history(uint32_t of) {
    uint64_t index = 0;
    auto* one = builder_.writer().append<ledger::SiteHistory>(ledger::SectionId::histories, index);
    one->site = of;
    return *one;
  }
  /// "ago: live, bytes B; " of each time.
  std::string times(uint32_t id) {
    Evaluated report(builder_, input_);
    std::string all;
    for (const Site& one : report->sites) {
      if (one.id != id) continue;
      for (const PastCount& past : one.history)
        all += std::to_string(past.ago_ns) + ": " + std::to_string(past.live) +
               (past.bytes ? ", " + std::to_string(*past.bytes) + " B; " : "; ");
    }
    return all;
  }
  static void sample(ledger::HistorySample& one, uint64_t at_ns, uint64_t live, uint64_t bytes = 0) {
    one.at_ns = at_ns;
    one.live = live;
    one.bytes = bytes;
  }

  test::LedgerBuilder builder_;
  ReportInput input_;
  uint32_t module_ = builder_.module("/bin/program");
  uint32_t sites_ = 0;
};

TEST_F(SiteHistoryTest, TimesStandOldestFirstWithWhatWasLiveThen) {
  uint32_t other = site(Kind::thread), fds = site(Kind::thread);
  for (uint32_t one : {other, fds}) builder_.thread(one, ledger::ThreadState::finished);
  ledger::SiteHistory& of_it = history(fds);
  sample(of_it.samples[0], 9'000, 30);
  sample(of_it.samples[2], 5'000, 10);
  sample(of_it.samples[3], 8'000, 20);
  sample(history(other).samples[0], 7'000, 99);
  EXPECT_EQ(times(fds), "5000: 10; 2000: 20; 1000: 30; ");
  EXPECT_EQ(times(other), "3000: 99; ");
}

TEST_F(SiteHistoryTest, ASiteWithoutOneHasNone) {
  uint32_t before = site(Kind::thread), with = site(Kind::thread), after = site(Kind::thread);
  for (uint32_t one : {before, with, after}) builder_.thread(one, ledger::ThreadState::finished);
  sample(history(with).samples[0], 9'000, 30);
  EXPECT_EQ(times(before), "");
  EXPECT_EQ(times(after), "");
}

TEST_F(SiteHistoryTest, ItBeginsWithNothingAtTheFirstAcquisition) {
  uint32_t at = site(Kind::thread);
  builder_.thread(at, ledger::ThreadState::finished);
  sample(history(at).samples[0], 9'000, 30);
  builder_.site(at).first_ns = 4'000;
  EXPECT_EQ(times(at), "6000: 0; 1000: 30; ");
  builder_.site(at).first_ns = 500;
  EXPECT_EQ(times(at), "9000: 0; 1000: 30; ")
      << "acquired before the process's program was started: no older than that";
}

TEST_F(SiteHistoryTest, TheHeapsHasBytesAndItsLowestCount) {
  constexpr uint64_t kUnit = uint64_t{1} << ledger::kLowUnitShift;
  input_.now_monotonic_ns = 1'000 + 4 * kUnit;
  uint32_t at = site(Kind::heap);
  builder_.blocks(at, 50, 0, 5'000, 0);
  builder_.site(at).first_ns = 1'000;
  sample(history(at).samples[1], 1'000 + 3 * kUnit, 40, 4'000);
  std::string unit = std::to_string(kUnit), all = std::to_string(4 * kUnit);
  EXPECT_EQ(times(at), all + ": 0, 0 B; " + unit + ": 40, 4000 B; ");
  builder_.site(at).peak_then = 2;
  builder_.site(at).live_then = 7;
  EXPECT_EQ(times(at), all + ": 0, 0 B; " + std::to_string(2 * kUnit) + ": 7; " + unit + ": 40, 4000 B; ");
}

}  // namespace
}  // namespace unfreed::report
