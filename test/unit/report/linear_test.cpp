// A forged ledger takes no more time than one of its size may: every table and every text is gone through once. What is
// quadratic takes minutes here, what is not a fraction of a second.
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "support/ledger_builder.h"
#include "support/report_text.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using ledger::SectionId;
using test::LedgerBuilder;

constexpr double kMostSeconds = 10;

class LinearTest : public ::testing::Test {
 protected:
  /// The whole section of texts, four megabytes of one byte.
  void fill_texts(char byte) {
    ledger::Section& strings = builder_.writer().section(SectionId::strings);
    std::memset(builder_.writer().at<char>(SectionId::strings, 0), byte, strings.capacity);
    strings.count = strings.capacity;
  }
  void expect_soon() {
    ledger::View view = builder_.view();
    Settings settings;
    ParseError error;
    ASSERT_TRUE(parse_rules("fd>0,site.fd>=10,heap>0,thread>0", settings.rules, error));
    ReportInput input;
    input.view = &view;
    input.settings = &settings;
    input.all_sites = true;
    size_t bytes = 0;
    std::clock_t before = std::clock();
    test::Result result = test::write_report(input, {&bytes, [](void* count, std::string_view piece) {
                                                       *static_cast<size_t*>(count) += piece.size();
                                                       return true;
                                                     }});
    EXPECT_TRUE(result.written);
    EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, kMostSeconds) << bytes << " bytes";
  }
  LedgerBuilder builder_;
};

TEST_F(LinearTest, ArgumentsWithoutEnd) {
  fill_texts('x');
  builder_.header().argv = 1;
  builder_.header().argv_count = UINT32_MAX;
  expect_soon();
}

TEST_F(LinearTest, EmptyArgumentsWithoutNumber) {
  fill_texts('\0');
  builder_.header().argv = 1;
  builder_.header().argv_count = UINT32_MAX;
  expect_soon();
}

TEST_F(LinearTest, NamesOfFunctionsWithoutEnd) {
  uint32_t leaf = builder_.stack({{0, 4711}});
  for (int count = 0; count < 100'000; ++count) builder_.site(Kind::heap, static_cast<uint16_t>(count), leaf);
  fill_texts('x');
  builder_.header().hook_names = 1;
  builder_.header().hook_count = UINT32_MAX;
  expect_soon();
}

TEST_F(LinearTest, ManyReferencesToOneEndlessText) {
  uint32_t module = builder_.module("/bin/program");
  uint32_t site = builder_.site(Kind::fd, 0, builder_.stack({{module, 4711}}));
  for (uint32_t number = 0; number < 50'000; ++number) builder_.open_fd(number, FdOrigin::acquired, site, "");
  for (int number = 50'000; number < 100'000; ++number) builder_.kernel_fd(number, "");
  fill_texts('x');
  builder_.writer().at<ledger::Module>(SectionId::modules, module)->path = 1;
  for (uint32_t index = 0; index < 100'000; ++index)
    builder_.writer().at<ledger::KernelFd>(SectionId::kernel_fds, index)->target = 1 + index;
  for (ledger::StringRef& reason : builder_.header().coverage_reason) reason = 1;
  expect_soon();
}

TEST_F(LinearTest, StacksThatRunInCircles) {
  std::vector<test::Frame> frames(5000, {0, 4711});
  uint32_t leaf = builder_.stack(frames);
  builder_.writer().at<ledger::Node>(SectionId::nodes, 1)->parent = leaf;
  for (int count = 0; count < 20'000; ++count) builder_.blocks(builder_.site(Kind::heap, 1, leaf), 1, 0, 1, 0);
  expect_soon();
}

TEST_F(LinearTest, ThreadsAndChildrenOfOneNumber) {
  for (int count = 0; count < 8000; ++count) {
    builder_.thread(0, ledger::ThreadState::running).tid = 7;
    if (count < 4000) builder_.child(0, 9);
    builder_.kernel_task(7, false, 'S');
    if (count < 4000) builder_.kernel_task(9, true, 'S');
  }
  expect_soon();
}

}  // namespace
}  // namespace unfreed::report
