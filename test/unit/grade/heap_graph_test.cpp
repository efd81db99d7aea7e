// Grades of blocks: those that Valgrind's manual defines, on memory laid out for the purpose.
#include "grade/heap_graph.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace unfreed::grade {
namespace {

/// A heap of words; blocks are cut from it one after another.
class Heap : public testing::Test {
 protected:
  static constexpr size_t kWords = 1 << 16;
  static constexpr uintptr_t kRoots = 4096;  ///< the address that roots are said to be at

  void SetUp() override {
    void* memory = mmap(nullptr, kWords * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    words_ = static_cast<uintptr_t*>(memory);
  }
  void TearDown() override { munmap(words_, kWords * 8); }

  /// A new block's number; `pointers` are its first words.
  size_t block(size_t bytes, std::vector<uintptr_t> pointers = {}, uint8_t flags = 0, uint32_t site = 1) {
    uintptr_t* start = words_ + used_;
    used_ += (bytes + 15) / 16 * 2 + 2;
    std::copy(pointers.begin(), pointers.end(), start);
    blocks_.push_back({reinterpret_cast<uintptr_t>(start), bytes, site, Grade::unreached, flags, 0});
    return blocks_.size() - 1;
  }
  uintptr_t at(size_t number, uintptr_t offset = 0) const { return blocks_[number].start + offset; }
  /// Lets a word of one block point somewhere.
  void point(size_t from, size_t word, uintptr_t to) { reinterpret_cast<uintptr_t*>(blocks_[from].start)[word] = to; }

  void set_offset(size_t number, uint16_t offset) { blocks_[number].offset = offset; }

  void grade(std::vector<uintptr_t> roots, RootRule rule = RootRule::plain, std::vector<Range> constants = {}) {
    ASSERT_TRUE(graph_.prepare(blocks_.size()));
    for (const Block& block : blocks_) ASSERT_TRUE(graph_.add(block));
    ASSERT_TRUE(graph_.index(constants));
    RootPart part;
    part.rule = rule;
    part.root = {root_kind_, 0, 0};
    part.is_by_word = true;
    part.base = kRoots;
    graph_.scan_root(roots.data(), roots.size(), part, kRoots);
    graph_.reach();
    if (looks_for_hidden_) {
      RootPart hidden;
      hidden.rule = RootRule::hidden;
      graph_.scan_root(roots.data(), roots.size(), hidden, kRoots);
      graph_.reach_hidden();
    }
    for (const Block& block : graph_.blocks()) reached_.push_back(block.grade != Grade::unreached);
    if (is_in_doubt_) had_doubts_ = graph_.doubt_rest(ledger::RootKind::epoll);
    graph_.settle();
  }
  Grade of(size_t number) { return graph_.blocks()[number].grade; }
  bool was_reached(size_t number) const { return reached_[number]; }

  HeapGraph graph_;
  ledger::RootKind root_kind_ = ledger::RootKind::variable;
  bool is_in_doubt_ = false, had_doubts_ = false, looks_for_hidden_ = false;

 private:
  uintptr_t* words_ = nullptr;
  size_t used_ = 2;
  std::vector<Block> blocks_;
  std::vector<bool> reached_;
};

TEST_F(Heap, NothingIsLostWhereRootsMayHaveBeenMissed) {
  size_t held = block(16), inner = block(32), outer = block(32, {at(inner)});
  is_in_doubt_ = true;
  grade({at(held)});
  EXPECT_TRUE(had_doubts_);
  EXPECT_EQ(of(held), Grade::reachable);
  EXPECT_EQ(of(inner), Grade::possibly_lost);
  EXPECT_EQ(of(outer), Grade::possibly_lost);
}

TEST_F(Heap, ThereIsNoDoubtWhereAllWasReached) {
  size_t held = block(16);
  is_in_doubt_ = true;
  grade({at(held)});
  EXPECT_FALSE(had_doubts_);
  EXPECT_EQ(of(held), Grade::reachable);
}

TEST_F(Heap, FollowsPointersFromRoots) {
  size_t last = block(16), middle = block(64, {0, at(last)}), first = block(32, {at(middle)}), alone = block(16);
  grade({12345, at(first)});
  EXPECT_EQ(of(first), Grade::reachable);
  EXPECT_EQ(of(middle), Grade::reachable);
  EXPECT_EQ(of(last), Grade::reachable);
  EXPECT_EQ(of(alone), Grade::lost);
}

/// "root 8 > site 2 x3" for each node with blocks.
std::vector<std::string> paths_of(RetentionTree& tree) {
  std::vector<std::string> names(1), found;
  for (size_t at = 1; at < tree.nodes().size(); ++at) {
    const RetentionNode& node = tree.nodes()[at];
    std::string own = node.parent ? "site " + std::to_string(node.site) : "root " + std::to_string(node.root.place);
    names.push_back(node.parent ? names[node.parent] + " > " + own : own);
    if (node.blocks) found.push_back(names.back() + " x" + std::to_string(node.blocks));
  }
  return found;
}

TEST_F(Heap, SaysWhoKeepsBlocks) {
  size_t leaf = block(16, {}, 0, 3), other = block(16, {}, 0, 3), table = block(32, {at(leaf), at(other)}, 0, 2);
  grade({0, at(table), at(leaf)});
  // The shortest path wins: the second root leads to the leaf itself.
  EXPECT_EQ(paths_of(graph_.retention()),
            (std::vector<std::string>{"root 8 > site 2 x1", "root 16 > site 3 x1", "root 8 > site 2 > site 3 x1"}));
}

TEST_F(Heap, TakesAListAsOneNode) {
  size_t before = block(16, {0}, 0, 2);
  for (int count = 1; count < 100; ++count) {
    size_t payload = block(16, {}, 0, 3);
    before = block(16, {at(before), at(payload)}, 0, 2);
  }
  grade({at(before)});
  EXPECT_EQ(paths_of(graph_.retention()),
            (std::vector<std::string>{"root 0 > site 2 x100", "root 0 > site 2 > site 3 x99"}));
}

TEST_F(Heap, KeepsBlocksByTheirMiddleToo) {
  size_t inner = block(64, {}, 0, 3);
  grade({at(inner, 16)});
  EXPECT_EQ(of(inner), Grade::possibly_lost);
  EXPECT_EQ(paths_of(graph_.retention()), std::vector<std::string>{"root 0 > site 3 x1"});
}

TEST_F(Heap, TakesNeighbouringVariablesAsOneRootWhereThereAreVeryMany) {
  constexpr size_t kVariables = 12000, kMostRoots = 2200;
  std::vector<uintptr_t> roots;
  for (size_t count = 0; count < kVariables; ++count) roots.push_back(at(block(16, {}, 0, 2)));
  grade(roots);
  std::span<RetentionNode> nodes = graph_.retention().nodes();
  uint64_t blocks = 0;
  for (const RetentionNode& node : nodes) blocks += node.blocks;
  EXPECT_EQ(blocks, kVariables);
  EXPECT_EQ(nodes[1].root.place, 0U) << "the first ones are told apart";
  EXPECT_EQ(nodes[3].root.place, 8U);
  auto is_root = [](const RetentionNode& node) { return node.root.kind == ledger::RootKind::variable; };
  EXPECT_LT(std::count_if(nodes.begin(), nodes.end(), is_root), kMostRoots);
}

TEST_F(Heap, TakesBlocksThatOnlyLostOnesLeadToAsIndirectlyLost) {
  size_t leaf = block(16), inner = block(16, {at(leaf)}), outer = block(16, {at(inner)});
  grade({});
  EXPECT_EQ(of(outer), Grade::lost);
  EXPECT_EQ(of(inner), Grade::indirectly_lost);
  EXPECT_EQ(of(leaf), Grade::indirectly_lost);
}

TEST_F(Heap, SaysWhoseLostBlocksAloneLeadToABlock) {
  size_t leaf = block(16), shared = block(16, {at(leaf)}), own = block(16), late = block(16);
  size_t first = block(32, {at(own), at(late)}, 0, 2);
  size_t same_site = block(16, {at(own)}, 0, 2);
  size_t last = block(32, {at(first), at(shared)}, 0, 3), other = block(32, {at(shared), at(late)}, 0, 4);
  size_t nobodys = block(16), uncounted = block(16, {}, kBlockUncounted, 5);
  grade({});
  for (size_t leader : {same_site, last, other}) EXPECT_EQ(of(leader), Grade::lost);
  EXPECT_EQ(graph_.leader_of(first), 3U) << "it began a clique itself, at first";
  EXPECT_EQ(graph_.leader_of(own), 0U);
  EXPECT_EQ(graph_.leader_of(late), 0U);
  EXPECT_EQ(graph_.leader_of(shared), 0U);
  EXPECT_EQ(graph_.leader_of(leaf), 0U);
  EXPECT_EQ(of(nobodys), Grade::lost);
  EXPECT_EQ(of(uncounted), Grade::possibly_lost);
}

TEST_F(Heap, CallsAllBlocksOfASiteOneLeader) {
  size_t shared = block(16), first = block(16, {at(shared)}, 0, 2), second = block(16, {at(shared)}, 0, 2);
  grade({});
  EXPECT_EQ(of(first), Grade::lost);
  EXPECT_EQ(of(second), Grade::lost);
  EXPECT_EQ(graph_.leader_of(shared), 2U);
}

TEST_F(Heap, CallsOneBlockOfACircleLost) {
  size_t a = block(16), b = block(16, {at(a)}), own = block(16);
  point(a, 0, at(b));
  point(own, 0, at(own));
  grade({});
  EXPECT_EQ(of(a), Grade::lost);
  EXPECT_EQ(of(b), Grade::indirectly_lost);
  EXPECT_EQ(of(own), Grade::lost) << "a pointer to itself is none";
}

TEST_F(Heap, DoubtsPointersIntoTheMiddle) {
  size_t leaf = block(16), held = block(800, {at(leaf)}), better = block(800);
  grade({at(held, 400), at(better, 400), at(better)});
  EXPECT_EQ(of(held), Grade::possibly_lost);
  EXPECT_EQ(of(leaf), Grade::possibly_lost) << "what only doubtful blocks lead to";
  EXPECT_EQ(of(better), Grade::reachable) << "a pointer to the start is better than one into the middle";
}

TEST_F(Heap, DoubtsPointersToTheEnd) {
  size_t leaf = block(16), header = block(96, {at(leaf)}), beyond = block(32), empty = block(0), last = block(32);
  graph_.count_ends();
  grade({at(header, 96), at(beyond, 33), at(empty), at(last, 32)});
  EXPECT_EQ(of(header), Grade::possibly_lost);
  EXPECT_EQ(of(leaf), Grade::possibly_lost);
  EXPECT_EQ(of(beyond), Grade::lost);
  EXPECT_EQ(of(empty), Grade::reachable);
  EXPECT_EQ(of(last), Grade::possibly_lost) << "though nothing lies there any more";
}

TEST_F(Heap, DoesNotTakeTheEndOfABlockForThatBlockWhereBlocksMayFollow) {
  size_t one = block(32), empty = block(0);
  grade({at(one, 32), at(empty)});
  EXPECT_EQ(of(one), Grade::lost);
  EXPECT_EQ(of(empty), Grade::reachable);
}

TEST_F(Heap, DoesNotTakeEndsOnStacksForPointers) {
  size_t one = block(32);
  root_kind_ = ledger::RootKind::stack;
  graph_.count_ends();
  grade({at(one, 32)});
  EXPECT_EQ(of(one), Grade::lost);
}

TEST_F(Heap, TakesNoBlocksEndForAnothersOwnPointer) {
  size_t one = block(32), other = block(32, {at(one, 32)});
  graph_.count_ends();
  grade({});
  EXPECT_EQ(of(one), Grade::lost) << "only what is reached gives the benefit of the doubt";
  EXPECT_EQ(of(other), Grade::lost);
}

TEST_F(Heap, FindsLongBlocksByPointersToAnyPage) {
  size_t small = block(16), large = block(200'000), next = block(16);
  grade({at(large, 150'000)});
  EXPECT_EQ(of(small), Grade::lost);
  EXPECT_EQ(of(large), Grade::possibly_lost);
  EXPECT_EQ(of(next), Grade::lost);
}

TEST_F(Heap, SeesThroughTags) {
  size_t low = block(64), high = block(64), odd = block(64), not_a_tag = block(64);
  // SpiderMonkey and LuaJIT have theirs from bit 47 on.
  uintptr_t tag = uintptr_t{0x7f} << 56, odd_tag = uintptr_t{0x1fff7} << 47;
  grade({at(low) | 5, at(high) | tag, at(odd) | odd_tag, (at(not_a_tag) + 32) | tag});
  EXPECT_EQ(of(low), Grade::reachable);
  EXPECT_EQ(of(high), Grade::reachable);
  EXPECT_EQ(of(odd), Grade::reachable);
  EXPECT_EQ(of(not_a_tag), Grade::lost) << "with a tag, only the start counts";
}

TEST_F(Heap, DoesNotCallLostWhatOnlyHiddenPointersLeadTo) {
  looks_for_hidden_ = true;
  std::vector<size_t> kept;
  std::vector<uintptr_t> roots;
  // In a packed structure at each of the places; there are enough words for many to be looked at together.
  for (unsigned into = 1; into < 8; ++into) {
    kept.push_back(block(64));
    roots.insert(roots.end(), {0, at(kept.back()) << 8 * into, at(kept.back()) >> (64 - 8 * into), 0});
  }
  size_t tagged = block(64), behind = block(64), child = block(64), grandchild = block(64), lost = block(64);
  size_t holder = block(64, {0, (at(behind) + 32) | uintptr_t{0xfffb} << 48});
  point(behind, 1, at(child) << 16 | 5);
  point(child, 7, at(grandchild));
  roots.insert(roots.end(), {at(holder), (at(tagged) + 8) | uintptr_t{1} << 63});
  grade(roots);
  for (size_t number : kept) EXPECT_EQ(of(number), Grade::possibly_lost) << number;
  EXPECT_EQ(of(tagged), Grade::possibly_lost);
  EXPECT_EQ(of(behind), Grade::possibly_lost);
  EXPECT_EQ(of(child), Grade::possibly_lost) << "found in a block that was found itself";
  EXPECT_EQ(of(grandchild), Grade::possibly_lost);
  EXPECT_EQ(of(holder), Grade::reachable);
  EXPECT_EQ(of(lost), Grade::lost);
  EXPECT_EQ(paths_of(graph_.retention()).back(), "root 0 > site 1 x11");
}

TEST_F(Heap, TakesNoWordsThatOverlapForPointers) {
  looks_for_hidden_ = true;
  size_t lost = block(64), stream = block(64, {}, kBlockStream), other = block(64, {0, 0}, kBlockStream);
  point(other, 2, at(stream));
  // Halves of two words would be a pointer with tags, at an address that is no multiple of 8.
  uintptr_t address = at(lost);
  grade({address << 32, address >> 32 | 0x1234'0000, at(other)});
  EXPECT_EQ(of(lost), Grade::lost) << std::hex << address;
  EXPECT_FALSE(was_reached(stream)) << "streams of libc's list";
}

TEST_F(Heap, KnowsWhatLibrariesPutInFront) {
  size_t array = block(8 + 3 * 24, {3}), sized = block(100, {92}), whole = block(100, {100}),
         characters = block(3 * 8 + 20 + 1, {5, 20}), none = block(8 + 3 * 24, {7}), empty = block(8, {0}),
         full = block(8, {5});
  grade({at(array, 8), at(sized, 8), at(whole, 8), at(characters, 24), at(none, 8), at(empty, 8), at(full, 8)});
  EXPECT_EQ(of(empty), Grade::reachable) << "new T[0]";
  EXPECT_EQ(of(full), Grade::lost) << "its end is not in it";
  EXPECT_EQ(of(array), Grade::reachable) << "new T[3]";
  EXPECT_EQ(of(sized), Grade::reachable) << "its size in front";
  EXPECT_EQ(of(whole), Grade::reachable) << "its size in front, itself included";
  EXPECT_EQ(of(characters), Grade::reachable) << "characters of a counted std::string";
  EXPECT_EQ(of(none), Grade::possibly_lost);
}

TEST_F(Heap, KnowsTheSecondBaseOfAnObject) {
  // Two tables of virtual functions: offset to top, type information, functions.
  static const uintptr_t tables[] = {0, 1, 2, 3, uintptr_t{0} - 16, 1, 2, 3};
  auto start = reinterpret_cast<uintptr_t>(tables);
  size_t object = block(32, {start + 16, 0, start + 48, 0}), other = block(32, {start + 16, start + 48, 0, 0});
  grade({at(object, 16), at(other, 8)}, RootRule::plain, {{start, start + sizeof tables}});
  EXPECT_EQ(of(object), Grade::reachable);
  EXPECT_EQ(of(other), Grade::possibly_lost) << "that table is of a base that lies elsewhere";
}

TEST_F(Heap, AcceptsAHeaderThatManyBlocksOfASiteHave) {
  std::vector<uintptr_t> roots;
  std::vector<size_t> headed, mixed, few;
  for (uintptr_t i = 0; i < 16; ++i) {
    headed.push_back(block(200, {}, 0, 1));
    mixed.push_back(block(200, {}, 0, 2));
    roots.push_back(at(headed.back(), 17));
    roots.push_back(at(mixed.back(), i == 9 ? 32 : 24));
  }
  for (uintptr_t i = 0; i < 15; ++i) {
    few.push_back(block(200, {}, 0, 3));
    roots.push_back(at(few.back(), 24));
  }
  grade(roots);
  for (size_t one : headed) EXPECT_EQ(of(one), Grade::reachable);
  for (size_t one : mixed) EXPECT_EQ(of(one), Grade::possibly_lost);
  for (size_t one : few) EXPECT_EQ(of(one), Grade::possibly_lost);
}

TEST_F(Heap, FindsWhatAcceptedBlocksLeadTo) {
  std::vector<uintptr_t> roots;
  size_t leaf = block(16);
  for (int i = 0; i < 16; ++i) roots.push_back(at(block(64, {at(leaf)}), 16));
  grade(roots);
  EXPECT_EQ(of(leaf), Grade::reachable);
}

TEST_F(Heap, LeavesOutLibcsListOfStreams) {
  size_t used = block(200, {}, kBlockUncounted), buffer = block(64);
  size_t stream = block(200, {at(buffer), at(used)}, kBlockStream | kBlockUncounted);
  size_t chained = block(200, {}, kBlockStream | kBlockUncounted);
  point(stream, 2, at(chained));
  grade({at(stream), at(chained)}, RootRule::libc_data);
  EXPECT_FALSE(was_reached(stream));
  EXPECT_FALSE(was_reached(chained)) << "nor theirs of one another";
  EXPECT_EQ(of(buffer), Grade::reachable) << "what a stream uses is in use";
}

TEST_F(Heap, KeepsStreamsThatTheProgramKnows) {
  size_t stream = block(200, {}, kBlockStream | kBlockUncounted);
  grade({at(stream)});
  EXPECT_TRUE(was_reached(stream));
}

TEST_F(Heap, TakesOnlyTheExactValueForAThread) {
  size_t known = block(1, {}, kBlockHandle | kBlockUncounted | kBlockUnreadable);
  size_t near = block(1, {}, kBlockHandle | kBlockUncounted | kBlockUnreadable);
  grade({at(known), at(near) + 1});
  EXPECT_TRUE(was_reached(known));
  EXPECT_FALSE(was_reached(near));
}

TEST_F(Heap, KeepsWhatAThreadHasReturnedUntilItIsJoined) {
  size_t result = block(16), result_of_lost = block(16), argument = block(16);
  constexpr uint8_t kThread = kBlockHandle | kBlockUncounted | kBlockUnreadable;
  size_t known = block(1, {0, at(argument), at(result)}, kThread);
  size_t lost = block(1, {at(result_of_lost), at(argument)}, kThread);
  set_offset(known, 16);
  grade({at(known)});
  EXPECT_EQ(of(result), Grade::reachable);
  EXPECT_EQ(of(argument), Grade::lost) << "only its result";
  EXPECT_FALSE(was_reached(lost));
  EXPECT_EQ(of(result_of_lost), Grade::lost) << "where libc keeps the result is not known";
}

TEST_F(Heap, KeepsWhatAThreadHasReturnedThatNobodyCanJoin) {
  size_t result = block(16);
  size_t lost = block(1, {0, at(result)}, kBlockHandle | kBlockUncounted | kBlockUnreadable);
  set_offset(lost, 8);
  grade({});
  EXPECT_FALSE(was_reached(lost));
  EXPECT_FALSE(was_reached(result));
  EXPECT_EQ(of(result), Grade::reachable) << "the thread is the leak";
}

TEST_F(Heap, DoubtsWhatUncountedBlocksLeadTo) {
  size_t leaf = block(16), hidden = block(64, {at(leaf)}, kBlockUncounted);
  grade({});
  EXPECT_EQ(of(hidden), Grade::possibly_lost);
  EXPECT_EQ(of(leaf), Grade::possibly_lost);
}

TEST_F(Heap, TakesPointersIntoLibcsOwnBlocksForTheirStart) {
  size_t leaf = block(16), table = block(256, {at(leaf)}, kBlockLibc | kBlockUncounted);
  grade({at(table, 16)});
  EXPECT_EQ(of(leaf), Grade::reachable);
}

TEST_F(Heap, DoesNotLookIntoWhatCannotBeRead) {
  size_t leaf = block(16), guarded = block(64, {at(leaf)}, kBlockUnreadable);
  grade({at(guarded)});
  EXPECT_EQ(of(guarded), Grade::reachable);
  EXPECT_EQ(of(leaf), Grade::lost);
}

TEST_F(Heap, LooksIntoThePartsThatCanBeRead) {
  size_t kept = block(16), guarded_away = block(16);
  size_t guarded = block(64, {at(guarded_away), 0, 0, at(kept)}, kBlockUnreadable);
  uintptr_t readable = at(guarded, 16);
  graph_.read_in_parts(
      [](void* context, uintptr_t from, uintptr_t to, Range& out) {
        uintptr_t low = *static_cast<uintptr_t*>(context);
        out = {std::max(from, low), to};
        return from < to;
      },
      &readable);
  grade({at(guarded)});
  EXPECT_EQ(of(kept), Grade::reachable);
  EXPECT_EQ(of(guarded_away), Grade::lost);
}

TEST_F(Heap, FindsABlockByItsStartAlone) {
  size_t one = block(64);
  grade({});
  ASSERT_NE(graph_.find(at(one)), nullptr);
  EXPECT_EQ(graph_.find(at(one))->start, at(one));
  EXPECT_EQ(graph_.find(at(one, 8)), nullptr);
  EXPECT_EQ(graph_.find(0), nullptr);
  EXPECT_EQ(graph_.find(UINTPTR_MAX), nullptr);
}

TEST(HeapGraph, FindsOperandsOfInstructions) {
  alignas(16) static uintptr_t block[2];
  HeapGraph graph;
  ASSERT_TRUE(graph.prepare(1) && graph.add({reinterpret_cast<uintptr_t>(block), 16, 1, Grade::unreached, 0, 0}));
  ASSERT_TRUE(graph.index({}));
  std::byte code[13] = {std::byte{0x48}, std::byte{0xb8}};  // movabs $…, %rax
  auto address = reinterpret_cast<uintptr_t>(block);
  graph.scan_code({code, 9}, {});
  graph.reach();
  EXPECT_EQ(graph.blocks()[0].grade, Grade::unreached);
  std::memcpy(code + 5, &address, sizeof address);
  graph.scan_code({code, 12}, {});
  graph.reach();
  EXPECT_EQ(graph.blocks()[0].grade, Grade::unreached) << "the end of it is missing";
  graph.scan_code(code, {});
  graph.reach();
  EXPECT_EQ(graph.blocks()[0].grade, Grade::reachable);
}

/// Page faults of this thread so far.
long faults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

TEST(HeapGraph, TouchesFewOfItsTablesForNumbersThatAreNoPointers) {
  constexpr uintptr_t kLow = uintptr_t{1} << 33, kHigh = uintptr_t{1} << 46, kNumbers = 2000;
  HeapGraph graph;
  ASSERT_TRUE(graph.prepare(2));
  for (uintptr_t start : {kLow, kHigh}) ASSERT_TRUE(graph.add({start, 64, 1, Grade::unreached, kBlockUnreadable, 0}));
  ASSERT_TRUE(graph.index({}));
  std::vector<uintptr_t> words;
  for (uintptr_t at = 1; at < kNumbers; ++at) words.push_back(kLow + (kHigh - kLow) / kNumbers * at);
  long before = faults();
  graph.scan_root(words.data(), words.size(), {}, 4096);
  EXPECT_LT(faults() - before, 100);
  for (const Block& block : graph.blocks()) EXPECT_EQ(block.grade, Grade::unreached);
  words = {kHigh + 8, kLow};
  graph.scan_root(words.data(), words.size(), {}, 4096);
  graph.reach();
  EXPECT_EQ(graph.find(kLow)->grade, Grade::reachable);
  EXPECT_NE(graph.find_around(kHigh + 8), nullptr);
}

TEST(HeapGraph, HasNothingToSayOfAnEmptyHeap) {
  HeapGraph graph;
  ASSERT_TRUE(graph.prepare(0));
  EXPECT_FALSE(graph.add({}));
  ASSERT_TRUE(graph.index({}));
  graph.scan_word(4096, {});
  graph.reach();
  graph.settle();
  EXPECT_EQ(graph.find(4096), nullptr);
}

}  // namespace
}  // namespace unfreed::grade
