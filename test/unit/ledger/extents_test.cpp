// A ledger that is mapped as far as it is in use.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "base/own_memory.h"
#include "base/syscall.h"
#include "ledger/view.h"
#include "ledger/writer.h"

namespace unfreed::ledger {
namespace {

class PartlyMapped : public testing::Test {
 protected:
  PartlyMapped() {
    Header shape{};
    lay_out(shape, 8);
    extents_.set_used(shape);
    populated_ = std::vector<std::atomic<uint8_t>>(shape.file_bytes / kPageBytes);
    uintptr_t place = base::own_addresses(shape.file_bytes);
    Extents::Part parts[Extents::kMostParts];
    size_t count = extents_.parts(shape, parts);
    for (const Extents::Part& part : std::span(parts).first(count)) {
      mapped_ += part.end - part.start;
      EXPECT_EQ(base::map_at(place + part.start, part.end - part.start, PROT_READ | PROT_WRITE, base::kPrivateMemory),
                0);
    }
    writer_ = Writer(reinterpret_cast<void*>(place), Backing::private_memory, populated_.data(), &extents_);
    EXPECT_TRUE(writer_.ensure(0, kPageBytes));
    std::memcpy(writer_.base(), &shape, sizeof shape);
    writer_.header().state = static_cast<uint32_t>(State::live);
  }

  View view() const {
    View view;
    View::open({static_cast<std::byte*>(writer_.base()), writer_.header().file_bytes}, view, writer_.backed());
    return view;
  }
  bool is_mapped(uint64_t offset) const {
    unsigned char resident;
    return mincore(static_cast<std::byte*>(writer_.base()) + offset / kPageBytes * kPageBytes, kPageBytes, &resident) ==
           0;
  }

  Extents extents_;
  std::vector<std::atomic<uint8_t>> populated_;
  Writer writer_;
  uint64_t mapped_ = 0;
};

TEST_F(PartlyMapped, IsSmallAtFirst) { EXPECT_LT(mapped_, 512u * 1024); }

TEST_F(PartlyMapped, GrowsWithItsTables) {
  constexpr uint64_t kNodes = 200'000;
  for (uint64_t i = 0; i < kNodes; ++i) {
    uint64_t index;
    Node* node = writer_.append<Node>(SectionId::nodes, index);
    ASSERT_TRUE(node);
    *node = {static_cast<uint32_t>(index - 1), 0, index};
  }
  EXPECT_EQ(view().node(kNodes)->offset, kNodes);
  const Section& nodes = writer_.section(SectionId::nodes);
  EXPECT_TRUE(is_mapped(nodes.offset + kNodes * sizeof(Node)));
  EXPECT_FALSE(is_mapped(nodes.offset + 4 * kNodes * sizeof(Node)));
}

TEST_F(PartlyMapped, ReachesFarRecords) {
  auto* record = writer_.touch<FdRecord>(SectionId::fds, 500'000);
  ASSERT_TRUE(record);
  record->word = 1;
  writer_.section(SectionId::fds).count = 500'001;
  EXPECT_EQ(view().fd(500'000)->word, 1u);
  EXPECT_EQ(view().fd(3), nullptr) << "nothing was written there";
  EXPECT_FALSE(writer_.known<FdRecord>(SectionId::fds, 3));
  EXPECT_TRUE(writer_.known<FdRecord>(SectionId::fds, 500'000));
}

TEST_F(PartlyMapped, CountsWhatFindsNoPlace) {
  const Section& nodes = writer_.section(SectionId::nodes);
  uint64_t far = nodes.capacity / 2;
  // Where the table would go on, there is something else by now.
  auto place = reinterpret_cast<uintptr_t>(writer_.base()) + nodes.offset + 64 * 1024;
  ASSERT_EQ(base::map_at(place, kPageBytes, PROT_NONE, base::kPrivateMemory), 0);
  EXPECT_FALSE(writer_.touch<Node>(SectionId::nodes, far));
  EXPECT_TRUE(writer_.touch<Node>(SectionId::nodes, 10));
  EXPECT_EQ(writer_.header().dropped[static_cast<size_t>(Dropped::storage_full)], 1u);
}

TEST(WholeExtents, AreOnePart) {
  Header header{};
  lay_out(header, 8);
  Extents extents;
  extents.set_whole(header);
  Extents::Part parts[Extents::kMostParts];
  ASSERT_EQ(extents.parts(header, parts), 1u);
  EXPECT_EQ(parts[0].start, 0u);
  EXPECT_EQ(parts[0].end, header.file_bytes);
}

}  // namespace
}  // namespace unfreed::ledger
