#include "ledger/view.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "support/ledger_builder.h"

namespace unfreed::ledger {
namespace {

using test::LedgerBuilder;

const char* open_fault(std::span<const std::byte> bytes) {
  View view;
  return View::open(bytes, view);
}

/// Opens the builder's ledger after a forgery; nullptr when it is accepted.
template <class Forge>
const char* fault_after(Forge forge) {
  LedgerBuilder builder;
  forge(builder.header());
  return open_fault(builder.bytes());
}

using Texts = std::vector<std::string>;
Texts texts_of(const View& view, StringRef first, uint32_t most) {
  Texts texts;
  view.each_text(first, most, [&](std::string_view text) { texts.emplace_back(text); });
  return texts;
}

Section& section(Header& header, SectionId id) { return header.sections[static_cast<size_t>(id)]; }

TEST(View, OpensWhatTheWriterLaysOut) {
  LedgerBuilder builder;
  EXPECT_EQ(open_fault(builder.bytes()), nullptr);
}

TEST(View, AnUnopenedViewIsEmpty) {
  View view;
  EXPECT_EQ(view.site_count(), 0u);
  EXPECT_EQ(view.node(0), nullptr);
  EXPECT_EQ(view.text(1), "");
}

TEST(View, RefusesWhatIsNoLedger) {
  alignas(8) std::byte page[kPageBytes] = {};
  EXPECT_STREQ(open_fault({page, 0}), "too short to be a ledger");
  EXPECT_STREQ(open_fault({page, kPageBytes - 1}), "too short to be a ledger");
  EXPECT_STREQ(open_fault(page), "not a ledger");
  LedgerBuilder builder;
  EXPECT_STREQ(open_fault(builder.bytes().subspan(4)), "not aligned in memory");
}

TEST(View, RefusesOtherVersionsByteOrdersAndStates) {
  EXPECT_NE(fault_after([](Header& header) { header.format_version = 1; }), nullptr);
  EXPECT_NE(fault_after([](Header& header) { header.byte_order = 0x04030201; }), nullptr);
  EXPECT_NE(fault_after([](Header& header) { header.header_bytes -= 8; }), nullptr);
  EXPECT_NE(fault_after([](Header& header) { header.state = 0; }), nullptr);
  EXPECT_NE(fault_after([](Header& header) { header.state = 77; }), nullptr);
}

TEST(View, RefusesForgedSections) {
  for (size_t index = 0; index < kSectionCount; ++index) {
    auto id = static_cast<SectionId>(index);
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).offset += 8; }), nullptr) << index;
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).offset = 0; }), nullptr) << index;
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).offset = header.file_bytes + kPageBytes; }),
              nullptr);
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).offset = UINT64_MAX / kPageBytes * kPageBytes; }),
              nullptr);
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).capacity = UINT64_MAX; }), nullptr) << index;
    EXPECT_NE(fault_after([&](Header& header) {
                section(header, id).capacity = UINT64_MAX / section(header, id).record_bytes - 1;
              }),
              nullptr)
        << index;
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).record_bytes *= 2; }), nullptr) << index;
    EXPECT_NE(fault_after([&](Header& header) { section(header, id).record_bytes = 0; }), nullptr) << index;
  }
  EXPECT_STREQ(fault_after([](Header& header) {
                 section(header, SectionId::kernel_fds).offset = section(header, SectionId::strings).offset;
               }),
               "two of its sections overlap");
}

TEST(View, ATruncatedFileIsRefused) {
  LedgerBuilder builder;
  EXPECT_NE(open_fault(builder.bytes().first(builder.bytes().size() / 2)), nullptr);
}

TEST(View, CountsNeverExceedCapacities) {
  LedgerBuilder builder;
  for (Section& section : builder.header().sections) section.count = UINT64_MAX;
  View view = builder.view();
  EXPECT_EQ(view.node_count(), section(builder.header(), SectionId::nodes).capacity);
  EXPECT_NE(view.node(view.node_count() - 1), nullptr);
  EXPECT_EQ(view.node(view.node_count()), nullptr);
  EXPECT_NE(view.chunk(view.chunk_count() - 1), nullptr);
  EXPECT_EQ(view.failure(UINT32_MAX), nullptr);
}

TEST(View, OffsetsChangedAfterOpeningChangeNothing) {
  LedgerBuilder builder;
  StringRef ref = builder.text("hello");
  View view = builder.view();
  section(builder.header(), SectionId::strings).offset = UINT64_MAX;
  section(builder.header(), SectionId::strings).capacity = UINT64_MAX;
  section(builder.header(), SectionId::strings).count = UINT64_MAX;
  EXPECT_EQ(view.text(ref), "hello");
}

TEST(View, TextEndsWithinItsSection) {
  LedgerBuilder builder;
  StringRef ref = builder.text("first");
  builder.text("second");
  View view = builder.view();
  EXPECT_EQ(view.text(0), "");
  EXPECT_EQ(view.text(ref), "first");
  EXPECT_EQ(texts_of(view, ref, 1), Texts({"first"}));
  EXPECT_EQ(texts_of(view, ref, UINT32_MAX), Texts({"first", "second"}));
  EXPECT_EQ(view.text(UINT32_MAX), "");
  Section& strings = section(builder.header(), SectionId::strings);
  strings.count = strings.count - 1;  // the last text loses its end
  EXPECT_EQ(texts_of(view, ref, UINT32_MAX), Texts({"first"}));
}

TEST(View, EmptyTextIsTextToo) {
  LedgerBuilder builder;
  StringRef ref = builder.text(std::string_view("a\0\0b", 4));
  EXPECT_EQ(texts_of(builder.view(), ref, 9), Texts({"a", "", "b"}));
  EXPECT_EQ(texts_of(builder.view(), 0, 9), Texts());
  EXPECT_EQ(texts_of(builder.view(), UINT32_MAX, 9), Texts());
}

TEST(View, EndlessTextIsNoText) {
  LedgerBuilder builder;
  StringRef longest = builder.text(std::string(View::kMostTextBytes - 1, 'x'));
  StringRef longer = builder.text(std::string(View::kMostTextBytes, 'y'));
  EXPECT_EQ(builder.view().text(longest).size(), View::kMostTextBytes - 1);
  EXPECT_EQ(builder.view().text(longer), "");
  EXPECT_EQ(texts_of(builder.view(), longer, 9), Texts({std::string(View::kMostTextBytes, 'y')}));
}

TEST(View, LongTextIsFoundAcrossPages) {
  LedgerBuilder builder;
  std::string text(3 * kPageBytes, 'x');
  StringRef ref = builder.text(text);
  EXPECT_EQ(builder.view().text(ref), text);
}

TEST(View, BuildIdsAreBounded) {
  LedgerBuilder builder;
  uint32_t index = builder.module("/lib/a.so");
  View view = builder.view();
  EXPECT_EQ(view.build_id_bytes(*view.module(index)), "\x01\x02\x03");
  builder.writer().at<Module>(SectionId::modules, index)->build_id_bytes = 65535;
  EXPECT_EQ(view.build_id_bytes(*view.module(index)).size(), 32u);
}

TEST(View, StacksRunFromTheInnermostFrameOut) {
  LedgerBuilder builder;
  uint32_t leaf = builder.stack({{1, 30}, {1, 20}, {1, 10}});
  const Node* nodes[8];
  ASSERT_EQ(builder.view().stack(leaf, nodes), 3u);
  EXPECT_EQ(nodes[0]->offset, 30u);
  EXPECT_EQ(nodes[2]->offset, 10u);
  EXPECT_EQ(builder.view().stack(leaf, std::span(nodes).first(2)), 2u);
  EXPECT_EQ(builder.view().stack(0, nodes), 0u);
  EXPECT_EQ(builder.view().stack(UINT32_MAX, nodes), 0u);
}

TEST(View, CyclesEndAStack) {
  LedgerBuilder builder;
  std::vector<test::Frame> frames(20, {1, 5});
  uint32_t leaf = builder.stack(frames);
  uint32_t root = leaf - 19;
  std::vector<const Node*> nodes(100'000);
  for (uint32_t target : {root, root + 7, leaf}) {
    builder.writer().at<Node>(SectionId::nodes, root)->parent = target;
    EXPECT_LT(builder.view().stack(leaf, nodes), 100u) << target;
  }
  builder.writer().at<Node>(SectionId::nodes, root)->parent = UINT32_MAX;
  EXPECT_EQ(builder.view().stack(leaf, nodes), 20u);
}

TEST(View, CountsAreSummedOverFinishedAndRunningThreads) {
  LedgerBuilder builder;
  uint32_t site = 0;
  for (int count = 0; count < 200; ++count) site = builder.site(Kind::heap, 1, 0);
  builder.blocks(site, 10, 4, 1000, 400);
  for (int thread = 0; thread < 3; ++thread) {
    Cell& cell = builder.chunk(site).cells[site % kChunkCells];
    cell.acquired = 5;
    cell.released = 1;
    cell.acquired_bytes = 50;
    cell.released_bytes = 10;
  }
  std::vector<Counts> counts(builder.view().site_count());
  EXPECT_TRUE(builder.view().sum_counts(counts));
  EXPECT_EQ(counts[site].acquired, 25u);
  EXPECT_EQ(counts[site].released, 7u);
  EXPECT_EQ(counts[site].acquired_bytes, 1150u);
  EXPECT_EQ(counts[site].released_bytes, 430u);
  EXPECT_EQ(counts[1].acquired, 0u);
  std::vector<Counts> fewer(3);
  EXPECT_TRUE(builder.view().sum_counts(fewer));
}

TEST(View, ForgedCountersNeverGiveANegativeLiveCount) {
  LedgerBuilder builder;
  uint32_t site = builder.site(Kind::heap, 1, 0);
  builder.blocks(site, 1, UINT64_MAX, 1, UINT64_MAX);
  Chunk& chunk = builder.chunk(site);
  chunk.cells[site].acquired = 3;
  builder.writer().at<ChunkHead>(SectionId::chunk_heads, 0)->base = UINT32_MAX;
  std::vector<Counts> counts(builder.view().site_count());
  EXPECT_TRUE(builder.view().sum_counts(counts));
  EXPECT_LE(counts[site].released, counts[site].acquired);
  EXPECT_LE(counts[site].released_bytes, counts[site].acquired_bytes);
}

TEST(View, AFoldThatNeverEndsIsSaid) {
  LedgerBuilder builder;
  std::vector<Counts> counts(builder.view().site_count());
  builder.header().fold_sequence = 3;
  EXPECT_FALSE(builder.view().sum_counts(counts));
}

/// A writer that folds its counters into the site over and over: no sum may see them twice, or not at all.
TEST(View, SumsSettleWhileThreadsEnd) {
  LedgerBuilder builder;
  uint32_t index = builder.site(Kind::heap, 1, 0);
  Chunk& chunk = builder.chunk(index);
  Site& site = builder.site(index);
  Cell& cell = chunk.cells[index];
  cell.acquired = 1000;
  std::atomic<bool> stop = false;
  std::thread folder([&] {
    auto& sequence = builder.header().fold_sequence;
    while (!stop) {
      sequence.fetch_add(1);
      site.acquired.fetch_add(cell.acquired.exchange(0));
      sequence.fetch_add(1);
      for (int spin = 0; spin < 2000; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
      sequence.fetch_add(1);
      cell.acquired.fetch_add(site.acquired.exchange(0));
      sequence.fetch_add(1);
      for (int spin = 0; spin < 2000; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    }
  });
  View view = builder.view();
  Counts counts[2];
  int settled = 0;
  for (int round = 0; round < 2000; ++round) {
    if (!view.sum_counts(counts)) continue;
    ++settled;
    ASSERT_EQ(counts[index].acquired, 1000u);
  }
  stop = true;
  folder.join();
  EXPECT_GT(settled, 0);
}

TEST(View, PagesWithoutStorageAreReadAsAbsent) {
  LedgerBuilder builder;
  StringRef ref = builder.text("hello");
  uint32_t leaf = builder.stack({{1, 5}});
  std::vector<std::atomic<uint8_t>> backed(builder.bytes().size() / kPageBytes + 1);
  View view;
  ASSERT_EQ(View::open(builder.bytes(), view, backed.data()), nullptr);
  EXPECT_EQ(view.text(ref), "");
  EXPECT_EQ(view.node(leaf), nullptr);
  for (auto& page : backed) page = 1;
  EXPECT_EQ(view.text(ref), "hello");
  EXPECT_NE(view.node(leaf), nullptr);
}

/// Reads everything there is to read.
void read_all(const View& view) {
  const Node* nodes[64];
  std::vector<Counts> counts(std::min<uint32_t>(view.site_count(), 1000));
  view.sum_counts(counts);
  for (uint32_t index = 0; index < 300; ++index) {
    view.stack(index, nodes);
    view.text(index);
    view.each_text(index, index, [](std::string_view) {});
    if (const Module* module = view.module(index)) view.build_id_bytes(*module);
    view.site(index);
    view.fd(index);
    view.thread(index);
    view.kernel_fd(index);
    view.failure(index);
  }
}

TEST(View, RandomHeadersAreSurvived) {
  std::mt19937_64 random(20240501);
  int opened = 0;
  LedgerBuilder builder;
  std::byte original[kPageBytes];
  std::memcpy(original, builder.bytes().data(), kPageBytes);
  auto* header = reinterpret_cast<std::byte*>(&builder.header());
  for (int round = 0; round < 20'000; ++round) {
    std::memcpy(header, original, kPageBytes);
    for (int changes = 0; changes < 3; ++changes) header[random() % sizeof(Header)] = static_cast<std::byte>(random());
    View view;
    if (View::open(builder.bytes(), view)) continue;
    ++opened;
    if (round % 100 == 0) read_all(view);
  }
  EXPECT_GT(opened, 100);
}

}  // namespace
}  // namespace unfreed::ledger
