// What a process records of its sites' numbers, look by look: time is simulated.
#include "ledger/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "support/ledger_builder.h"

namespace unfreed::ledger {
namespace {

constexpr uint64_t kSecond = 1'000'000'000, kMinute = 60 * kSecond, kDay = 1440 * kMinute;

class Looks : public testing::Test {
 protected:
  Looks() { history_->start(kStart); }

  uint32_t heap_site() { return with_time(builder_.site(Kind::heap, 1, 0)); }
  uint32_t fd_site() { return with_time(builder_.site(Kind::fd, 0, 0)); }
  void add(uint32_t site, uint64_t blocks) { builder_.blocks(site, blocks, 0, 100 * blocks, 0); }
  void remove(uint32_t site, uint64_t blocks) { builder_.blocks(site, 0, blocks, 0, 100 * blocks); }

  /// One whole look, when it is due.
  uint64_t look() {
    now_ = history_->due_ns();
    uint64_t due = now_;
    for (int parts = 0; parts < 1000; ++parts) {
      history_->look(builder_.writer(), now_);
      uint64_t next = history_->due_ns();
      if (next - now_ >= kSecond / 10) break;
      now_ = next;
    }
    return due;
  }
  void look_for(uint64_t ns) {
    for (uint64_t end = history_->due_ns() + ns; history_->due_ns() < end;) look();
  }

  struct Sample {
    uint64_t live;
    uint64_t bytes;
  };
  /// By time.
  std::map<uint64_t, Sample> samples(uint32_t site) {
    std::map<uint64_t, Sample> found;
    View view = builder_.view();
    for (uint32_t at = 0; at < view.history_count(); ++at) {
      const SiteHistory* history = view.history(at);
      if (!history || history->site != site) continue;
      for (const HistorySample& one : history->samples)
        if (one.at_ns) found[one.at_ns] = {one.live, one.bytes};
    }
    return found;
  }

  static constexpr uint64_t kStart = 5 * kSecond;
  test::LedgerBuilder builder_;
  std::unique_ptr<History> history_ = std::make_unique<History>();
  uint64_t now_ = kStart;

 private:
  uint32_t with_time(uint32_t site) {
    builder_.site(site).first_ns = kStart;
    return site;
  }
};

TEST_F(Looks, KeepASampleNearEveryDistance) {
  uint32_t site = heap_site();
  std::map<uint64_t, uint64_t> all;
  for (uint64_t live = 1; now_ < 40 * kDay; ++live) {
    add(site, 1);
    all[look()] = live;
  }
  std::map<uint64_t, Sample> kept = samples(site);
  EXPECT_LE(kept.size(), kHistorySamples);
  uint64_t after = 0;
  for (auto one = kept.rbegin(); one != kept.rend(); ++one) {
    uint64_t ago = all.rbegin()->first - one->first;
    EXPECT_LE(ago, std::max(2 * after, kMinute + kSecond)) << "a distance was left out";
    after = ago;
    ASSERT_EQ(all.count(one->first), 1u);
    EXPECT_EQ(one->second.live, all[one->first]);
    EXPECT_EQ(one->second.bytes, 100 * all[one->first]);
  }
  EXPECT_GT(after, 20 * kDay) << "half of its life is known at least";
}

TEST_F(Looks, AreFartherApartAsTheProcessGrowsOlder) {
  EXPECT_EQ(History::distance_ns(0), kSecond / 10);
  EXPECT_EQ(History::distance_ns(320 * kSecond), 10 * kSecond);
  EXPECT_EQ(History::distance_ns(kDay), kMinute);
  uint64_t first = look(), second = look();
  EXPECT_EQ(second - first, kSecond / 10);
}

TEST_F(Looks, RecordOnlyWhatHasGrown) {
  uint32_t flat = heap_site(), growing = heap_site(), few = heap_site(), shrinking = heap_site(), fds = fd_site();
  for (uint32_t site : {flat, growing, shrinking}) add(site, 1000);
  add(few, 1);
  add(fds, 3);
  look();
  add(flat, 100);
  add(growing, 300);
  add(few, 6);
  remove(shrinking, 500);
  look();
  EXPECT_TRUE(samples(flat).empty());
  EXPECT_TRUE(samples(few).empty());
  EXPECT_TRUE(samples(shrinking).empty());
  EXPECT_TRUE(samples(fds).empty());
  ASSERT_EQ(samples(growing).size(), 1u);
  EXPECT_EQ(samples(growing).begin()->second.live, 1300u);
  EXPECT_EQ(builder_.site(growing).live_then, 1000u) << "the lowest";
  EXPECT_EQ(builder_.site(shrinking).live_then, 500u);
  add(fds, 1);
  add(shrinking, 200);
  look();
  EXPECT_EQ(samples(fds).size(), 1u);
  EXPECT_EQ(samples(shrinking).size(), 1u);
  remove(growing, 1300);
  look();
  EXPECT_EQ(samples(growing).rbegin()->second.live, 0u) << "also when it shrinks again";
}

TEST_F(Looks, AddUpWhatThreadsHaveCounted) {
  uint32_t site = heap_site();
  look();
  Writer& writer = builder_.writer();
  for (int thread = 0; thread < 3; ++thread) {
    uint64_t index;
    auto* head = writer.append<ChunkHead>(SectionId::chunk_heads, index);
    writer.section(SectionId::chunks).count = index + 1;
    head->base = site / kChunkCells + 1;
    Cell& cell = writer.at<Chunk>(SectionId::chunks, index)->cells[site % kChunkCells];
    cell.acquired = 20;
    cell.released = 5;
    cell.acquired_bytes = 2000;
    cell.released_bytes = 100;
  }
  look();
  ASSERT_EQ(samples(site).size(), 1u);
  EXPECT_EQ(samples(site).begin()->second.live, 45u);
  EXPECT_EQ(samples(site).begin()->second.bytes, 5700u);

  // Sums that a thread's end disturbs are left out.
  builder_.header().fold_sequence = 1;
  look();
  EXPECT_EQ(samples(site).size(), 1u);
}

TEST_F(Looks, KeepRoomForWhatGrowsMost) {
  uint64_t room = builder_.writer().section(SectionId::histories).capacity;
  std::vector<uint32_t> slow, fast;
  for (uint64_t count = 0; count < 2 * room; ++count) slow.push_back(heap_site());
  for (uint64_t count = 0; count < 4; ++count) fast.push_back(heap_site());
  look();
  for (uint32_t site : slow) add(site, 30);
  look();
  EXPECT_LT(builder_.view().history_count(), room * 9 / 10);
  for (uint32_t site : fast) add(site, 1'000'000);
  look();
  for (uint32_t site : fast) EXPECT_EQ(samples(site).size(), 1u);
}

TEST_F(Looks, WriteNoMoreThanThereIsRoomFor) {
  uint64_t room = builder_.writer().section(SectionId::histories).capacity;
  std::vector<uint32_t> sites;
  for (uint64_t count = 0; count < 2 * room; ++count) sites.push_back(heap_site());
  look();
  for (uint32_t site : sites) add(site, 1'000'000);
  for (int count = 0; count < 3; ++count) look();
  EXPECT_EQ(builder_.writer().section(SectionId::histories).count, room);
  uint64_t dropped = 0;
  for (const auto& reason : builder_.header().dropped) dropped += reason;
  EXPECT_EQ(dropped, 0u);
}

TEST_F(Looks, GoOverManySitesInParts) {
  for (int count = 0; count < 20'000; ++count) heap_site();
  uint32_t last = heap_site();
  uint64_t first = history_->due_ns();
  history_->look(builder_.writer(), first);
  EXPECT_EQ(builder_.site(last).peak_then, 0u) << "not all at once";
  EXPECT_LT(history_->due_ns() - first, kSecond / 10);
  history_->look(builder_.writer(), first);
  EXPECT_EQ(builder_.site(last).peak_then, 0u) << "nor one part right after the other";
  while (history_->due_ns() - first < kSecond / 10 * 9) {
    uint64_t due = history_->due_ns();
    history_->look(builder_.writer(), due);
    if (builder_.site(last).peak_then) break;
  }
  EXPECT_NE(builder_.site(last).peak_then, 0u);
}

TEST_F(Looks, BeginAnewInAForkChild) {
  uint32_t site = heap_site();
  look();
  add(site, 100);
  look();
  ASSERT_EQ(samples(site).size(), 1u);
  builder_.writer().section(SectionId::histories).count = 0;
  builder_.site(site).peak_then = 0;
  history_->start(now_);
  EXPECT_EQ(history_->due_ns(), now_ + kSecond / 10);
  look();
  EXPECT_EQ(builder_.writer().section(SectionId::histories).count, 0u);
  EXPECT_EQ(builder_.site(site).live_then, 100u);
}

}  // namespace
}  // namespace unfreed::ledger
