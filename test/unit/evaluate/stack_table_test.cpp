// The table of stacks of a report: each call and each common caller is in it once.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;

TEST(StackTableTest, CallsAndCommonCallersAreThereOnce) {
  test::LedgerBuilder builder;
  uint32_t module = builder.module("/usr/bin/program", ledger::kModuleMain);
  constexpr uint32_t kSites = 600;  // the table of calls grows more than once
  for (uint32_t at = 0; at < kSites; ++at) {
    uint32_t site = builder.site(
        Kind::fd, 0, builder.stack({{module, 1000 + 2 * (at % 400)}, {module, 8 + 2 * (at / 400)}, {module, 6}}));
    builder.open_fd(3 + at, FdOrigin::acquired, site, "/tmp/x");
  }
  ReportInput input;
  const test::NamedOffset kNames[] = {{6, "main"}};
  std::span<const test::NamedOffset> names = kNames;
  input.resolver = test::naming_resolver(names);
  test::Evaluated report(builder, input);
  ASSERT_EQ(report->sites.size(), kSites);
  std::set<uint64_t> offsets;
  for (const Call& call : report->stacks.calls) offsets.insert(call.offset);
  EXPECT_EQ(report->stacks.calls.size(), 400u + 2 + 1);
  EXPECT_EQ(offsets.size(), report->stacks.calls.size());
  std::set<std::pair<CallId, StackId>> nodes;
  for (const Node& node : report->stacks.nodes) nodes.insert({node.call, node.caller});
  EXPECT_EQ(nodes.size(), report->stacks.nodes.size());
  EXPECT_EQ(report->stacks.nodes.size(), kSites + 2 + 1);
  for (const Site& site : report->sites) {
    size_t depth = 0;
    Text outermost;
    report->stacks.each_call(site.stack, [&](const Call& call) {
      ++depth;
      EXPECT_EQ(call.module, "/usr/bin/program");
      EXPECT_EQ(call.build_id, "010203");
      outermost = call.frames.empty() ? Text() : call.frames[0].function;
    });
    EXPECT_EQ(depth, 3u);
    EXPECT_EQ(outermost, "main");
  }
}

/// A site with a stack of so many frames, evaluated.
bool is_truncated(size_t frames) {
  test::LedgerBuilder builder;
  std::vector<test::Frame> stack;
  for (size_t at = 0; at < frames; ++at) stack.push_back({builder.module("/bin/program"), 100 + at});
  builder.open_fd(3, FdOrigin::acquired, builder.site(Kind::fd, 0, builder.stack(stack)), "/tmp/x");
  test::Evaluated report(builder);
  size_t depth = 0;
  report->stacks.each_call(report->sites[0].stack, [&](const Call&) { ++depth; });
  EXPECT_EQ(depth, std::min<size_t>(frames, 512));
  return report->sites[0].truncated;
}

TEST(StackTableTest, OfAStackThatIsTooDeepTheOutermostFramesAreLeftOut) {
  EXPECT_FALSE(is_truncated(511));
  EXPECT_FALSE(is_truncated(512));
  EXPECT_TRUE(is_truncated(513));
}

}  // namespace
}  // namespace unfreed::report
