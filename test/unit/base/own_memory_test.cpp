// Where the runtime's memory lies, how it grows, and how much of a limited address space is taken.
#include "base/own_memory.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <vector>

#include "base/address_space.h"
#include "base/syscall.h"

namespace unfreed::base {
namespace {

constexpr size_t kPage = 4096;

uintptr_t address_of(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

/// What `body` says in a process of its own.
template <class Body>
bool in_a_child(Body body) {
  pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

/// Leaves the process `bytes` more than it has mapped.
void limit_to(size_t bytes) {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{pages * kPage + bytes, RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &limit);
  measure_address_space();
}

TEST(OwnMemory, LiesApartFromTheKernelsChoice) {
  void* own = own_memory(100);
  void* kernels = mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_TRUE(own);
  uintptr_t low = std::min(address_of(own), address_of(kernels)), high = std::max(address_of(own), address_of(kernels));
  EXPECT_GT(high - low, uintptr_t{8} << 30);
  munmap(kernels, kPage);
}

TEST(OwnMemory, HasNeighboursAndZeros) {
  auto* first = static_cast<char*>(own_memory(3 * kPage));
  auto* second = static_cast<char*>(own_memory(1));
  EXPECT_EQ(second, first + 3 * kPage);
  EXPECT_EQ(first[0] | first[3 * kPage - 1] | second[kPage - 1], 0);
}

TEST(OwnMemory, PassesOverWhatLiesInItsWay) {
  EXPECT_TRUE(in_a_child([] {
    auto* first = static_cast<char*>(own_memory(kPage));
    void* in_the_way =
        mmap(first + kPage, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (in_the_way != first + kPage) return false;
    std::memset(in_the_way, 7, kPage);
    auto* next = static_cast<char*>(own_memory(2 * kPage));
    return next && std::memset(next, 1, 2 * kPage) && *static_cast<char*>(in_the_way) == 7;
  }));
}

/// How many of the pages from `start` on are listed as the runtime's own.
size_t listed_pages(uintptr_t start, size_t pages) {
  size_t listed = 0;
  OwnMapping mapping;
  for (size_t page = 0; page < pages; ++page)
    for (size_t index = 0; own_mapping(index, mapping); ++index)
      listed += start + page * kPage - mapping.address < mapping.bytes;
  return listed;
}

size_t entries() {
  size_t count = 0, index = 0;
  for (OwnMapping mapping; own_mapping(index, mapping); ++index) count += mapping.bytes > 0;
  return count;
}

TEST(OwnMemory, IsTakenFromTheReserveWhileThatLasts) {
  EXPECT_TRUE(in_a_child([] {
    reserve_own_memory(5 * kPage);
    size_t before = entries();
    auto* first = static_cast<char*>(own_memory(3 * kPage));
    void* in_the_way = mmap(first + 5 * kPage, kPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    auto* second = static_cast<char*>(own_memory(kPage + 1));
    auto* third = static_cast<char*>(own_memory(kPage));  // nothing is left
    bool is_zero = (first[0] | second[0] | second[2 * kPage - 1] | third[0]) == 0;
    return second == first + 3 * kPage && in_the_way == first + 5 * kPage && third != in_the_way && is_zero &&
           listed_pages(address_of(first), 5) == 5 && entries() == before + 1;
  }));
}

TEST(OwnMemory, ThatWasReservedIsNotUsedOnceAllIsGivenBack) {
  EXPECT_TRUE(in_a_child([] {
    reserve_own_memory(5 * kPage);
    give_back_all_own_memory();
    auto* memory = static_cast<char*>(own_memory(kPage));
    return memory && (memory[0] = 1) && entries() == 1;
  }));
}

TEST(OwnMemory, IsListed) {
  uintptr_t own = address_of(own_memory(5 * kPage));
  EXPECT_EQ(listed_pages(own, 5), 5);
  EXPECT_EQ(listed_pages(own + 5 * kPage, 3), 0);
}

TEST(OwnMemory, ThatHasNeighboursIsOneEntry) {
  own_memory(kPage);
  own_memory_zeroed_in_children(kPage);
  size_t before = entries();
  for (int i = 0; i < 5000; ++i) {
    own_memory(kPage);                     // upwards
    own_memory_zeroed_in_children(kPage);  // downwards
  }
  EXPECT_EQ(entries(), before);
}

TEST(OwnMemory, IsNoLongerListedWhenGivenBack) {
  uintptr_t place = own_addresses(16 * kPage);
  size_t before = entries();
  ASSERT_TRUE(own_memory_at(place, 9 * kPage));
  give_back_own_memory(place + 3 * kPage, 2 * kPage);  // splits it
  EXPECT_EQ(entries(), before + 2);
  EXPECT_EQ(listed_pages(place, 9), 7);
  EXPECT_EQ(listed_pages(place + 3 * kPage, 2), 0);
  give_back_own_memory(place, 4 * kPage);
  give_back_own_memory(place + 8 * kPage, kPage);
  EXPECT_EQ(listed_pages(place, 9), 3);
  EXPECT_EQ(listed_pages(place + 5 * kPage, 3), 3);
  give_back_own_memory(place, 9 * kPage);
  EXPECT_EQ(entries(), before);
}

TEST(OwnMemory, IsZeroedInForkChildrenWhereItIsToBe) {
  auto* kept = static_cast<char*>(own_memory(kPage));
  auto* zeroed = static_cast<char*>(own_memory_zeroed_in_children(kPage));
  *kept = *zeroed = 3;
  EXPECT_TRUE(in_a_child([&] { return *kept == 3 && *zeroed == 0; }));
  EXPECT_EQ(*zeroed, 3);
}

TEST(MapAt, RefusesWhatIsTakenAndTheWayOfAStack) {
  uintptr_t place = own_addresses(1024 * kPage);
  EXPECT_EQ(map_at(place, kPage, PROT_READ, kPrivateMemory), 0);
  EXPECT_EQ(map_at(place, kPage, PROT_READ, kPrivateMemory), -EEXIST);
  auto* stack = reinterpret_cast<void*>(place + 512 * kPage);
  ASSERT_EQ(mmap(stack, kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0),
            stack);
  EXPECT_EQ(map_at(place + 500 * kPage, kPage, PROT_READ, kPrivateMemory), -EEXIST);
}

TEST(GrowingMemory, KeepsItsPlaceAndItsContents) {
  GrowingMemory memory;
  ASSERT_TRUE(memory.prepare(size_t{64} << 20));
  auto* start = static_cast<char*>(memory.start());
  for (size_t bytes = 1; bytes < size_t{64} << 20; bytes *= 2) {
    ASSERT_TRUE(memory.grow_to(bytes));
    ASSERT_EQ(memory.start(), start);
    start[bytes - 1] = 5;
  }
  for (size_t bytes = 1; bytes < size_t{64} << 20; bytes *= 2) EXPECT_EQ(start[bytes - 1], 5);
  EXPECT_FALSE(memory.grow_to((size_t{64} << 20) + 1));
  memory.give_back();
  EXPECT_FALSE(memory.grow_to(1));
  unsigned char resident;
  EXPECT_EQ(mincore(start, kPage, &resident), -1) << "it is still mapped";
}

TEST(AddressSpace, IsNotShortWithoutALimit) {
  measure_address_space();
  EXPECT_FALSE(is_address_space_short());
  EXPECT_TRUE(may_take_address_space(size_t{1} << 40));
  EXPECT_EQ(free_address_space(), SIZE_MAX);
}

TEST(AddressSpace, IsTakenOnlyInPartWhereItIsLimited) {
  EXPECT_TRUE(in_a_child([] {
    constexpr size_t kFree = 64 << 20;
    limit_to(kFree);
    if (!is_address_space_short()) return false;
    size_t taken = 0;
    while (own_memory(kPage * 16)) taken += kPage * 16;
    // Most of it is left, and it was more than nothing.
    return taken > kFree / 32 && taken < kFree / 4 &&
           mmap(nullptr, kFree * 3 / 4, PROT_READ, kPrivateMemory, -1, 0) != MAP_FAILED;
  }));
}

TEST(AddressSpace, CountsDataToo) {
  EXPECT_TRUE(in_a_child([] {
    rlimit limit{size_t{256} << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_DATA, &limit);
    measure_address_space();
    return is_address_space_short() && free_address_space() <= limit.rlim_cur && !own_memory(size_t{200} << 20);
  }));
}

}  // namespace
}  // namespace unfreed::base
