// The list of spare objects, under several threads.
#include "base/free_list.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace unfreed::base {
namespace {

struct Spare {
  std::atomic<int> holders{0};
  std::atomic<Spare*> next_free{nullptr};
};

TEST(FreeList, GivesOutWhatWasGivenBackLastComeFirst) {
  Spare spares[2];
  FreeList<Spare> list;
  EXPECT_EQ(list.take(), nullptr);
  list.give_back(&spares[0]);
  list.give_back(&spares[1]);
  EXPECT_EQ(list.take(), &spares[1]);
  EXPECT_EQ(list.take(), &spares[0]);
  EXPECT_EQ(list.take(), nullptr);
}

TEST(FreeList, HasNoObjectInTwoHandsAndLosesNone) {
  constexpr size_t kSpares = 5;
  Spare spares[kSpares];
  FreeList<Spare> list;
  for (Spare& spare : spares) list.give_back(&spare);
  std::atomic<int> shared{0};
  auto work = [&] {
    for (int i = 0; i < 200000; ++i) {
      // Two at a time, given back in the order they came: what the first was linked to is stale by then.
      Spare* taken[2] = {list.take(), list.take()};
      for (Spare* spare : taken) {
        if (!spare) continue;
        if (spare->holders.fetch_add(1) != 0) shared.fetch_add(1);
        spare->holders.fetch_sub(1);
        list.give_back(spare);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared, 0);
  size_t left = 0;
  while (list.take()) ++left;
  EXPECT_EQ(left, kSpares);
}

TEST(FreeList, IsEmptyAfterAReset) {
  Spare spare;
  FreeList<Spare> list;
  list.give_back(&spare);
  list.reset();
  EXPECT_EQ(list.take(), nullptr);
}

}  // namespace
}  // namespace unfreed::base
