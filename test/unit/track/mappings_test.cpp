// What is left of each mapping after any sequence of mmap, munmap and mremap: compared with a plain model.
#include "track/mappings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::HandleRecord;
using ledger::Kind;
using ledger::SectionId;

/// Start, end, and whose it is.
using Piece = std::tuple<uint64_t, uint64_t, std::string>;

/// What is mapped, by start.
class Model {
 public:
  void make(Range range, const std::string& owner) {
    take(range);
    put(range, owner);
  }
  std::vector<Piece> take(Range range) {
    std::vector<Piece> taken;
    if (range.start >= range.end) return taken;
    cut(range.start);
    cut(range.end);
    auto first = pieces_.lower_bound(range.start);
    auto last = first;
    for (; last != pieces_.end() && last->first < range.end; ++last)
      taken.push_back({last->first, last->second.first, last->second.second});
    pieces_.erase(first, last);
    return taken;
  }
  void move(Range from, Range to) {
    std::vector<Piece> taken = take(from);
    if (taken.empty()) return;
    take(to);
    for (auto [start, end, owner] : taken) {
      uint64_t new_start = start - from.start + to.start;
      uint64_t new_end = std::min(end == from.end ? to.end : end - from.start + to.start, to.end);
      if (new_start < new_end) put({new_start, new_end}, owner);
    }
    join(to.start);
  }
  /// A call that failed: pieces of one mapping that meet where it cut them are one again.
  void stay(Range range) {
    std::vector<Piece> taken = take(range);
    for (auto [start, end, owner] : taken) put({start, end}, owner);
    if (taken.empty()) return;
    join(std::get<0>(taken.front()));
    join(std::get<1>(taken.back()));
  }
  std::vector<Piece> all() const {
    std::vector<Piece> result;
    for (const auto& [start, rest] : pieces_) result.push_back({start, rest.first, rest.second});
    return result;
  }

 private:
  void join(uint64_t at) {
    auto after = pieces_.find(at);
    if (after == pieces_.end() || after == pieces_.begin()) return;
    auto before = std::prev(after);
    if (before->second.first != at || before->second.second != after->second.second) return;
    before->second.first = after->second.first;
    pieces_.erase(after);
  }
  void put(Range range, const std::string& owner) { pieces_[range.start] = {range.end, owner}; }
  void cut(uint64_t at) {
    for (auto& [start, rest] : pieces_) {
      if (start >= at || rest.first <= at) continue;
      put({at, rest.first}, rest.second);
      pieces_[start].first = at;
      return;
    }
  }

  std::map<uint64_t, std::pair<uint64_t, std::string>> pieces_;
};

class MappingsTest : public ::testing::Test {
 protected:
  ~MappingsTest() override {
    TakenMappings all = take_mappings({0, UINT64_MAX});
    mappings_gone(all);
    EXPECT_EQ(process_.held(Kind::mapping), 0u);
  }
  static Range pages(uint64_t first, uint64_t count) { return {first * 4096, (first + count) * 4096}; }
  static void make(Range range, const std::string& owner) { mapping_made(range, owner, 1, unwind::caller_registers()); }
  static void unmap(Range range) {
    TakenMappings taken = take_mappings(range);
    mappings_gone(taken);
  }
  static void move(Range from, Range to) {
    TakenMappings taken = take_mappings(from);
    mappings_moved(taken, from, to);
  }
  /// What the ledger says.
  std::vector<Piece> recorded() {
    std::vector<Piece> result;
    for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
      auto& record = process_.record<HandleRecord>(SectionId::handles, at);
      if (record.word.load()) result.push_back({record.id, record.id + record.bytes, record.target});
    }
    std::sort(result.begin(), result.end());
    return result;
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(MappingsTest, UnmappingTheMiddleLeavesTwo) {
  make(pages(10, 10), "a");
  EXPECT_EQ(process_.held(Kind::mapping), 1u);
  unmap(pages(14, 2));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{10 * 4096, 14 * 4096, "a"}, {16 * 4096, 20 * 4096, "a"}}));
  EXPECT_EQ(process_.held(Kind::mapping), 2u);
  unmap(pages(0, 12));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{12 * 4096, 14 * 4096, "a"}, {16 * 4096, 20 * 4096, "a"}}));
  unmap(pages(13, 4));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{12 * 4096, 13 * 4096, "a"}, {17 * 4096, 20 * 4096, "a"}}));
}

TEST_F(MappingsTest, ACallThatFailsChangesNothing) {
  make(pages(10, 10), "a");
  make(pages(20, 10), "b");
  uint64_t made = process_.totals(Kind::mapping).acquired;
  std::vector<Piece> before = recorded();
  for (Range range : {pages(12, 3), pages(15, 10), pages(0, 15), pages(10, 20), pages(25, 50), pages(10, 10)}) {
    TakenMappings taken = take_mappings(range);
    EXPECT_NE(recorded(), before);
    mappings_stay(taken);
    EXPECT_EQ(recorded(), before);
    EXPECT_EQ(process_.held(Kind::mapping), 2u);
  }
  EXPECT_EQ(process_.totals(Kind::mapping).acquired, made) << "none was made";
}

TEST_F(MappingsTest, AMovedOneIsTheSameAtItsNewPlace) {
  make(pages(10, 4), "a");
  make(pages(30, 4), "b");
  move(pages(10, 4), pages(50, 8));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{30 * 4096, 34 * 4096, "b"}, {50 * 4096, 58 * 4096, "a"}})) << "and grown";
  move(pages(50, 8), pages(32, 2));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{30 * 4096, 32 * 4096, "b"}, {32 * 4096, 34 * 4096, "a"}}))
      << "over another, and cut";
  EXPECT_EQ(process_.held(Kind::mapping), 2u);
}

TEST_F(MappingsTest, GrowingItsEndInPlaceLeavesOne) {
  make(pages(10, 8), "a");
  move(pages(14, 4), pages(14, 10));
  EXPECT_EQ(recorded(), (std::vector<Piece>{{10 * 4096, 24 * 4096, "a"}}));
  EXPECT_EQ(process_.held(Kind::mapping), 1u);
}

TEST_F(MappingsTest, EveryPieceKeepsWhatItsMappingWas) {
  make(pages(10, 10), "a");
  uint64_t word = 0, acquired_ns = 0;
  for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
    auto& one = process_.record<HandleRecord>(SectionId::handles, at);
    if (!one.word) continue;
    word = one.word;
    acquired_ns = one.acquired_ns;
  }
  unmap(pages(14, 2));
  int pieces = 0;
  for (uint64_t at = 0; at < process_.count(SectionId::handles); ++at) {
    auto& one = process_.record<HandleRecord>(SectionId::handles, at);
    if (!one.word) continue;
    ++pieces;
    EXPECT_EQ(one.word, word);
    EXPECT_EQ(one.acquired_ns, acquired_ns);
    EXPECT_EQ(one.tid, base::current_tid());
  }
  EXPECT_EQ(pieces, 2);
}

TEST_F(MappingsTest, WhatIsMadeInAPauseIsListedAndNotCounted) {
  {
    test::Paused paused;
    make(pages(10, 10), "a");
  }
  EXPECT_EQ(process_.held(Kind::mapping), 0u);
  unmap(pages(12, 2));
  EXPECT_EQ(recorded().size(), 2u);
  EXPECT_EQ(process_.held(Kind::mapping), 0u);
}

TEST_F(MappingsTest, WithoutTrackingNothingIsRecorded) {
  make(pages(10, 10), "a");
  std::vector<Piece> before = recorded();
  {
    test::Untracked untracked;
    make(pages(30, 10), "b");
    unmap(pages(10, 10));
    move(pages(10, 10), pages(50, 10));
  }
  EXPECT_EQ(recorded(), before);
}

TEST_F(MappingsTest, WhatWasTakenWhenTrackingEndsIsNotRecordedAsGone) {
  make(pages(10, 10), "a");
  for (int way = 0; way < 3; ++way) {
    TakenMappings taken = take_mappings(pages(10, 10));
    {
      test::Untracked untracked;
      TakenMappings same = taken;
      if (way == 0) mappings_gone(same);
      if (way == 1) mappings_stay(same);
      if (way == 2) mappings_moved(same, pages(10, 10), pages(30, 10));
    }
    EXPECT_EQ(process_.held(Kind::mapping), 1u);
    EXPECT_TRUE(recorded().empty());
    mappings_stay(taken);
    EXPECT_EQ(recorded().size(), 1u);
  }
}

TEST_F(MappingsTest, AnySequenceLeavesWhatThePlainModelSays) {
  std::mt19937 random(7);
  Model model;
  auto range = [&] { return pages(random() % 60, 1 + random() % 12); };
  for (int step = 0; step < 20'000; ++step) {
    Range one = range();
    switch (random() % 5) {
      case 0:
      case 1: {
        std::string owner = std::to_string(step);
        make(one, owner);
        model.make(one, owner);
        break;
      }
      case 2:
        unmap(one);
        model.take(one);
        break;
      case 3: {
        TakenMappings taken = take_mappings(one);
        mappings_stay(taken);
        model.stay(one);
        break;
      }
      default: {
        // To elsewhere, or in place.
        Range to = random() % 2 ? pages(100 + random() % 20, 1 + random() % 12) : one;
        if (to.start == one.start) to.end = to.start + (1 + random() % 12) * 4096;
        move(one, to);
        model.move(one, to);
      }
    }
    ASSERT_EQ(recorded(), model.all()) << "after step " << step;
    ASSERT_EQ(process_.held(Kind::mapping), model.all().size()) << "after step " << step;
  }
}

// The last one: it leaves a long table.
TEST_F(MappingsTest, WithoutRoomForTheRestOfOneThatIsCutItsBeginningIsKept) {
  auto& dropped = process_.header().dropped[static_cast<size_t>(ledger::Dropped::handles_full)];
  uint64_t capacity = g_tracker.writer.section(SectionId::handles).capacity, before = dropped;
  {
    test::Paused paused;  // quicker: no stack is walked
    for (uint64_t at = 1; at < capacity; ++at) make(pages(100 + at * 2, 1), "other");
  }
  make(pages(10, 10), "a");
  EXPECT_EQ(dropped, before);
  unmap(pages(14, 2));
  EXPECT_EQ(dropped, before + 1);
  std::vector<Piece> all = recorded();
  EXPECT_EQ(all.front(), (Piece{10 * 4096, 14 * 4096, "a"}));
  EXPECT_EQ(all.size(), capacity);
  EXPECT_EQ(process_.held(Kind::mapping), 1u);
  {
    test::Paused paused;
    make(pages(30, 1), "b");
  }
  EXPECT_EQ(dropped, before + 2);
  EXPECT_EQ(recorded().size(), capacity);
  TakenMappings rest = take_mappings({pages(40, 1).start, UINT64_MAX});
  mappings_gone(rest);
  make(pages(30, 1), "b");
  EXPECT_EQ(recorded().size(), 2u) << "there is room again";
}

}  // namespace
}  // namespace unfreed::track
