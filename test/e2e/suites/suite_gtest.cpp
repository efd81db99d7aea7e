#include <unfreed/gtest.h>

#include "steps.h"

TEST(Steps, Closes) { steps::close_descriptor(); }
TEST(Steps, LeavesDescriptors) { steps::leave_descriptors(); }
TEST(Steps, ClosesAgain) { steps::close_descriptor(); }
TEST(Steps, LosesBlock) {
  steps::lose_block();
  steps::clear_stack();
}
TEST(Steps, FillsCache) { steps::fill_cache(); }
TEST(Steps, LeavesThread) { steps::leave_thread(); }
TEST(Steps, LeavesChild) { steps::leave_child(); }

class Fixture : public testing::Test {
 protected:
  void SetUp() override { fd_ = open("/etc/hosts", O_RDONLY); }
  void TearDown() override { close(fd_); }
  int fd_ = -1;
};
TEST_F(Fixture, IsTornDown) { EXPECT_GE(fd_, 0); }

class OfSuite : public testing::Test {
 protected:
  static void SetUpTestSuite() { fd_ = open("/etc/hosts", O_RDONLY); }
  static void TearDownTestSuite() { close(fd_); }
  static int fd_;
};
int OfSuite::fd_ = -1;
TEST_F(OfSuite, IsNotTheTests) { EXPECT_GE(fd_, 0); }

TEST(Steps, FailsAnyway) {
  steps::leave_descriptors();
  ASSERT_EQ(1, 2) << "on purpose";
}
