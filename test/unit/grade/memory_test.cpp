// What is read of the kernel's lists, and which memory is left out.
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "grade/allocator_memory.h"
#include "grade/kernel_pointers.h"
#include "grade/mapping_lines.h"
#include "grade/memory_map.h"
#include "grade/page_scan.h"
#include "grade/range_list.h"

namespace unfreed::grade {

bool operator==(const Range& a, const Range& b) { return a.low == b.low && a.high == b.high; }

namespace {

TEST(MappingLines, ReadsALine) {
  Mapping one;
  ASSERT_TRUE(parse_mapping("55d0c8a3b000-55d0c8a5c000 rw-p 00000000 00:00 0                          [heap]", one));
  EXPECT_EQ(one.low, 0x55d0c8a3b000u);
  EXPECT_EQ(one.high, 0x55d0c8a5c000u);
  EXPECT_TRUE(one.readable && one.writable && !one.shared);
  EXPECT_EQ(one.use, MappingUse::heap);
}

TEST(MappingLines, TellsUsesApart) {
  auto use = [](std::string rest) {
    Mapping one{};
    EXPECT_TRUE(parse_mapping("1000-2000 r--s 00000000 " + rest, one)) << rest;
    return one.use;
  };
  EXPECT_EQ(use("00:00 0 "), MappingUse::anonymous);
  EXPECT_EQ(use("00:00 0 [anon:v8]"), MappingUse::anonymous);
  EXPECT_EQ(use("00:00 0 [stack]"), MappingUse::stack);
  EXPECT_EQ(use("00:00 0 [vvar]"), MappingUse::kernel);
  EXPECT_EQ(use("fe:01 77 /usr/lib/a file with blanks.so"), MappingUse::file);
  EXPECT_EQ(use("00:19 77 /dev/shm/x"), MappingUse::file);
  EXPECT_EQ(use("00:05 77 /dev/dri/card0"), MappingUse::device);
}

TEST(MappingLines, RefusesOthers) {
  Mapping one;
  for (const char* line : {"", "Size: 4 kB", "VmFlags: rd wr", "1000-2000", "1000-2000 rw-p", "x-2000 rw-p 0 00:00 0",
                           "1000-2000 rw-p 00000000 00:00 x"})
    EXPECT_FALSE(parse_mapping(line, one)) << line;
}

TEST(KernelPointers, ReadsALine) {
  uint64_t data = 0;
  ASSERT_TRUE(
      parse_epoll_data("tfd:        5 events:       19 data:     7f1f0c000b70  pos:0 ino:593d94a sdev:f", data));
  EXPECT_EQ(data, 0x7f1f0c000b70u);
  ASSERT_TRUE(parse_epoll_data("tfd:        5 events:       19 data: ffffffffffffffff  pos:0 ino:1 sdev:f", data));
  EXPECT_EQ(data, UINT64_MAX);
  for (const char* line : {"", "pos:\t0", "tfd:        5 events:       19", "tfd: 5 data:", "data: 77"})
    EXPECT_FALSE(parse_epoll_data(line, data)) << line;
}

TEST(KernelPointers, FindsWhatEpollDescriptorsKeep) {
  // More lines than are read at once, and more than are kept in one piece.
  constexpr uint64_t kEpolls = 20, kWatched = 300, kMany = kEpolls * kWatched;
  int epolls[kEpolls], watched[kWatched];
  for (int& fd : epolls) fd = epoll_create1(0);
  for (int& fd : watched) fd = eventfd(0, 0);
  for (uint64_t at = 0; at < kMany; ++at) {
    epoll_event event{};
    event.data.u64 = 0x1234'5000'0000 + at;
    ASSERT_EQ(epoll_ctl(epolls[at / kWatched], EPOLL_CTL_ADD, watched[at % kWatched], &event), 0);
  }
  auto finds_all = [] {
    KernelPointers kept;
    kept.collect();
    std::vector<uint64_t> found;
    kept.epoll_data().each([&](uint64_t data) { found.push_back(data); });
    std::sort(found.begin(), found.end());
    bool is_same = kept.is_whole() && kept.any_epoll() && found.size() == kMany;
    for (uint64_t at = 0; is_same && at < kMany; ++at) is_same = found[at] == 0x1234'5000'0000 + at;
    return is_same;
  };
  EXPECT_TRUE(finds_all());
  EXPECT_TRUE(finds_all()) << "the first time changed something";
  // As in a copy that grades.
  pid_t copy = fork();
  if (copy == 0) _exit(finds_all() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(copy, &status, 0), copy);
  EXPECT_EQ(status, 0);
  for (int fd : watched) close(fd);
  for (int fd : epolls) close(fd);
  KernelPointers none;
  none.collect();
  EXPECT_TRUE(none.is_whole() && !none.any_epoll());
}

TEST(KernelPointers, ReadsALineOfATimer) {
  uint64_t data = 0;
  ASSERT_TRUE(parse_timer_data("signal: 60/00007fff86e452a8", data));
  EXPECT_EQ(data, 0x7fff86e452a8u);
  for (const char* line : {"", "ID: 1", "signal: 60", "signal: 60/", "notify: signal/pid.77"})
    EXPECT_FALSE(parse_timer_data(line, data)) << line;
}

TEST(KernelPointers, FindsWhatTimersKeep) {
  constexpr uint64_t kTimers = 20;  // more than are read at once
  std::vector<timer_t> timers(kTimers);
  for (uint64_t at = 0; at < kTimers; ++at) {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    event.sigev_value.sival_ptr = reinterpret_cast<void*>(0x1234'5000'0000 + at);
    ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timers[at]), 0);
  }
  KernelPointers kept;
  kept.collect_timers();
  kept.collect();
  EXPECT_TRUE(kept.is_whole());
  std::vector<uint64_t> found;
  kept.timer_data().each([&](uint64_t data) { found.push_back(data); });
  std::sort(found.begin(), found.end());
  ASSERT_EQ(found.size(), kTimers);
  for (uint64_t at = 0; at < kTimers; ++at) EXPECT_EQ(found[at], 0x1234'5000'0000 + at);
  for (timer_t timer : timers) timer_delete(timer);
}

bool any_in_flight() {
  KernelPointers kept;
  kept.collect();
  return kept.any_in_flight();
}

/// A ring, and an eventfd that it is asked to poll.
class Ring {
 public:
  Ring() {
    constexpr int kShared = PROT_READ | PROT_WRITE;
    if (fd_ < 0) return;
    memory_ = mmap(nullptr, ring_.sq_off.array + 4 * sizeof(uint32_t), kShared, MAP_SHARED, fd_, IORING_OFF_SQ_RING);
    requests_ = mmap(nullptr, 4 * sizeof(io_uring_sqe), kShared, MAP_SHARED, fd_, IORING_OFF_SQES);
  }
  ~Ring() {
    close(fd_);
    close(polled_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  bool is_there() const { return memory_ != MAP_FAILED && requests_ != MAP_FAILED; }
  int polled() const { return polled_; }
  void poll(uint32_t flags) {
    auto& request = *static_cast<io_uring_sqe*>(requests_);
    request.opcode = IORING_OP_POLL_ADD;
    request.fd = polled_;
    request.poll32_events = POLLIN;
    request.len = flags;
    *reinterpret_cast<uint32_t*>(static_cast<char*>(memory_) + ring_.sq_off.tail) = 1;
    EXPECT_EQ(syscall(SYS_io_uring_enter, fd_, 1, 0, 0, nullptr, 0), 1);
  }
  /// Until there is an answer.
  void wait() { EXPECT_EQ(syscall(SYS_io_uring_enter, fd_, 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0), 0); }

 private:
  io_uring_params ring_{};
  int fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 4, &ring_));
  int polled_ = eventfd(0, 0);
  void* memory_ = MAP_FAILED;
  void* requests_ = MAP_FAILED;
};

TEST(KernelPointers, KnowsWhetherARequestIsUnderWay) {
  EXPECT_FALSE(any_in_flight());
  Ring ring;
  if (!ring.is_there()) GTEST_SKIP() << "the kernel does not allow it";
  EXPECT_FALSE(any_in_flight());
  ring.poll(0);
  EXPECT_TRUE(any_in_flight());
  uint64_t one = 1;
  ASSERT_EQ(write(ring.polled(), &one, sizeof one), 8);
  ring.wait();
  EXPECT_FALSE(any_in_flight());
}

TEST(KernelPointers, KnowsThatARequestStaysUnderWayWhichIsAnsweredAgainAndAgain) {
  Ring ring;
  if (!ring.is_there()) GTEST_SKIP() << "the kernel does not allow it";
  ring.poll(IORING_POLL_ADD_MULTI);
  uint64_t one = 1;
  ASSERT_EQ(write(ring.polled(), &one, sizeof one), 8);
  ring.wait();  // one request, and one answer
  EXPECT_TRUE(any_in_flight());
}

TEST(KernelPointers, SaysWhereItCannotLook) {
  pid_t crowded = fork();
  if (crowded == 0) {
    rlimit limit{3, 3};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(2);
    KernelPointers kept;
    kept.collect();
    _exit(kept.is_whole() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(crowded, &status, 0), crowded);
  EXPECT_EQ(status, 0);
}

TEST(MemoryMap, FindsThisProgramsMemory) {
  MemoryMap map;
  ASSERT_TRUE(map.read());
  int here = 0;
  const Mapping* stack = map.find(reinterpret_cast<uintptr_t>(&here));
  ASSERT_NE(stack, nullptr);
  EXPECT_TRUE(stack->writable);
  const Mapping* code = map.find(reinterpret_cast<uintptr_t>(&getpagesize));
  ASSERT_NE(code, nullptr);
  EXPECT_EQ(code->use, MappingUse::file);
  EXPECT_EQ(map.find(0), nullptr);
}

class Ranges : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(list_.prepare(8)); }
  std::vector<Range> gaps(Range range) {
    std::vector<Range> found;
    list_.each_gap(range, [&](uintptr_t low, uintptr_t high) { found.push_back({low, high}); });
    return found;
  }
  RangeList list_;
};

TEST_F(Ranges, GivesWhatIsBetweenThem) {
  for (Range range : {Range{50, 60}, {10, 20}, {15, 30}, {60, 70}, {5, 5}}) list_.add(range.low, range.high);
  list_.sort();
  EXPECT_EQ(list_.all().size(), 2u);
  EXPECT_EQ(gaps({0, 100}), (std::vector<Range>{{0, 10}, {30, 50}, {70, 100}}));
  EXPECT_EQ(gaps({12, 55}), (std::vector<Range>{{30, 50}}));
  EXPECT_EQ(gaps({10, 30}), std::vector<Range>{});
  EXPECT_EQ(gaps({30, 50}), (std::vector<Range>{{30, 50}}));
}

TEST_F(Ranges, SaysThatItIsFull) {
  for (uintptr_t at = 0; at < 8; ++at) list_.add(at * 10, at * 10 + 5);
  EXPECT_FALSE(list_.is_full());
  list_.add(200, 201);
  EXPECT_TRUE(list_.is_full());
}

/// Memory whose pages the test touches as it likes.
class Pages : public testing::Test {
 protected:
  static constexpr size_t kPage = 4096, kBytes = size_t{64} << 20;
  void map(int flags, int file = -1, size_t bytes = kBytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file, 0);
    ASSERT_NE(memory, MAP_FAILED);
    low_ = reinterpret_cast<uintptr_t>(memory);
    bytes_ = bytes;
  }
  void TearDown() override { munmap(reinterpret_cast<void*>(low_), bytes_); }
  uintptr_t& word(size_t offset) { return *reinterpret_cast<uintptr_t*>(low_ + offset); }
  size_t resident_pages() {
    std::vector<unsigned char> state(bytes_ / kPage);
    EXPECT_EQ(mincore(reinterpret_cast<void*>(low_), bytes_, state.data()), 0);
    size_t count = 0;
    for (unsigned char one : state) count += one & 1;
    return count;
  }
  /// Is the block found by scanning all of it?
  bool finds_block(bool is_file = false, bool is_shared = false) {
    HeapGraph graph;
    EXPECT_TRUE(graph.prepare(1) && graph.add({block_address(), 16, 1, Grade::unreached, 0, 0}) && graph.index({}));
    PageScan scan(graph);
    EXPECT_TRUE(scan.prepare());
    Mapping mapping{
        low_, low_ + bytes_, true, true, false, is_shared, is_file ? MappingUse::file : MappingUse::anonymous};
    EXPECT_TRUE(scan.scan(mapping, low_, low_ + bytes_, {}));
    graph.reach();
    return graph.blocks()[0].grade == Grade::reachable;
  }
  uintptr_t block_address() const { return reinterpret_cast<uintptr_t>(block_); }

  uintptr_t low_ = 0;
  size_t bytes_ = 0;
  alignas(16) static inline uintptr_t block_[2];
};

TEST_F(Pages, FindsAWordAndMakesNoPage) {
  map(MAP_PRIVATE | MAP_ANONYMOUS);
  word(kBytes / 2 + 8) = block_address();
  size_t before = resident_pages();
  EXPECT_TRUE(finds_block());
  EXPECT_EQ(resident_pages(), before) << "memory that was reserved and not used stays so";
  word(kBytes / 2 + 8) = 0;
  EXPECT_FALSE(finds_block());
}

TEST_F(Pages, MakesNoSharedPage) {
  map(MAP_SHARED | MAP_ANONYMOUS);
  word(kPage * 3) = block_address();
  size_t before = resident_pages();
  EXPECT_TRUE(finds_block(false, true));
  EXPECT_EQ(resident_pages(), before);
}

TEST_F(Pages, SurvivesAFileThatGotShorter) {
  char name[] = "/tmp/unfreed-test-XXXXXX";
  int file = mkstemp(name);
  ASSERT_GE(file, 0);
  unlink(name);
  ASSERT_EQ(ftruncate(file, kPage * 40), 0);
  map(MAP_SHARED, file, kPage * 40);
  word(kPage * 2) = block_address();
  word(kPage * 30) = 1;
  ASSERT_EQ(ftruncate(file, kPage * 3), 0);
  EXPECT_TRUE(finds_block(true, true));
  close(file);
}

TEST(AllocatorMemory, KnowsABlockThatHasAMappingToItself) {
  auto* memory =
      static_cast<size_t*>(mmap(nullptr, 4096 * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto low = reinterpret_cast<uintptr_t>(memory);
  Mapping mapping{low, low + 4096 * 4, true, true, false, false, MappingUse::anonymous};
  Block block{low + 4096 + 16, 5000, 1, Grade::unreached, 0, 0};
  RangeList list;
  ASSERT_TRUE(list.prepare(4));
  EXPECT_FALSE(add_large_block(block, mapping, list)) << "nothing says so";
  memory[512] = 0;
  memory[513] = 4096 * 2 | 2;
  EXPECT_TRUE(add_large_block(block, mapping, list));
  list.sort();
  ASSERT_EQ(list.all().size(), 1u);
  EXPECT_EQ(list.all()[0], (Range{low + 4096, low + 4096 * 3}));
  memory[513] = 4096 | 2;
  EXPECT_FALSE(add_large_block(block, mapping, list)) << "it is larger than that";
  munmap(memory, 4096 * 4);
}

}  // namespace
}  // namespace unfreed::grade
