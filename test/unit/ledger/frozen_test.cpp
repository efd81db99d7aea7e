#include "ledger/frozen.h"

#include <gtest/gtest.h>

#include "support/ledger_builder.h"

namespace unfreed::ledger {
namespace {

class FrozenTest : public testing::Test {
 protected:
  uint32_t site(uint64_t offset) { return builder_.site(Kind::fd, 0, builder_.stack({{module_, offset}})); }
  test::LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program");
};

TEST_F(FrozenTest, StaysAsItWas) {
  builder_.table_fd(5, FdOrigin::acquired, site(1));
  Frozen frozen;
  ASSERT_TRUE(frozen.take(builder_.writer()));
  builder_.writer().at<FdRecord>(SectionId::fds, 5)->word.store(0);
  builder_.table_fd(6, FdOrigin::acquired, site(2));
  EXPECT_EQ(frozen.view().fd_count(), 6u);
  EXPECT_NE(frozen.view().fd(5)->word.load(), 0u);
  EXPECT_EQ(builder_.view().fd(5)->word.load(), 0u);
  EXPECT_EQ(frozen.view().site_count() + 1, builder_.view().site_count());
  EXPECT_EQ(frozen.view().text(frozen.view().header().exe), "/usr/bin/program");
}

TEST_F(FrozenTest, TakesMoreTextsAndRecordsOfItsOwn) {
  Frozen frozen;
  ASSERT_TRUE(frozen.take(builder_.writer()));
  StringRef own = frozen.writer().add_text("own");
  StringRef theirs = builder_.text("theirs");
  frozen.take_thread_stacks(builder_.writer());
  EXPECT_EQ(frozen.view().text(own), "own");
  EXPECT_EQ(frozen.view().text(theirs), "theirs");
  EXPECT_EQ(builder_.view().text(own), "") << "the ledger has nothing of the copy's";
}

TEST_F(FrozenTest, LearnsWhereThreadsStandAndNothingElse) {
  ThreadRecord& thread = *builder_.writer().touch<ThreadRecord>(SectionId::threads, 0);
  builder_.writer().section(SectionId::threads).count.store(1);
  thread.state = static_cast<uint32_t>(ThreadState::running);
  thread.tid = 77;
  Frozen frozen;
  ASSERT_TRUE(frozen.take(builder_.writer()));
  thread.current_node = builder_.stack({{module_, 40}, {module_, 41}});
  thread.current_ns = 9;
  thread.state = static_cast<uint32_t>(ThreadState::finished);
  frozen.take_thread_stacks(builder_.writer());
  const ThreadRecord* known = frozen.view().thread(0);
  EXPECT_EQ(known->current_ns, 9u);
  EXPECT_EQ(known->state.load(), static_cast<uint32_t>(ThreadState::running));
  const Node* nodes[4];
  ASSERT_EQ(frozen.view().stack(known->current_node, nodes), 2u);
  EXPECT_EQ(nodes[0]->offset, 40u);
}

}  // namespace
}  // namespace unfreed::ledger
