// Call sites as the C API shows them: what of a report holds something since a mark.
#include "evaluate/held_sites.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "evaluate/places.h"

namespace unfreed::report {
namespace {

TEST(HeldSitesTest, AnArgumentIsReadAsItWasWritten) {
  const HeldSite kSites[] = {{1, 2, 3}, {UINT32_MAX, UINT64_MAX, 0}};
  base::FixedText<128> text;
  add_held_sites(text, kSites);
  EXPECT_EQ(text.text(), "1:2:3,4294967295:18446744073709551615:0");
  HeldSite read[3];
  ASSERT_EQ(read_held_sites(text.text(), read), 2u);
  EXPECT_EQ(read[0].site, 1u);
  EXPECT_EQ(read[0].count, 2u);
  EXPECT_EQ(read[0].bytes, 3u);
  EXPECT_EQ(read[1].site, UINT32_MAX);
  EXPECT_EQ(read[1].count, UINT64_MAX);
  EXPECT_EQ(read[1].bytes, 0u);
}

TEST(HeldSitesTest, NothingIsReadFromThePartThatMakesNoSense) {
  HeldSite read[2];
  for (const char* text : {"", "1", "1:2", "1:2:", ":2:3", "1:2:3:4", "4294967296:2:3", "a:2:3", "1:2:3x", "1:2:-3"})
    EXPECT_EQ(read_held_sites(text, read), 0u) << text;
  EXPECT_EQ(read_held_sites("1:2:3,x", read), 1u);
  EXPECT_EQ(read_held_sites("1:2:3,4:5:6,7:8:9", read), 2u) << "there is no room for more";
  EXPECT_EQ(read[1].site, 4u);
}

/// A frame: function, file, line.
struct Named {
  Text function;
  Text file = {};
  uint32_t line = 0;
};

class DescribeTest : public ::testing::Test {
 protected:
  /// A stack, innermost call first, all of one module; each call has one frame, or none where its name is "".
  StackId stack(std::initializer_list<Named> frames, Text module = "/opt/program") {
    std::vector<Named> calls(frames);
    StackId caller = 0;
    for (size_t at = calls.size(); at-- > 0;) {
      Call* call = report_.stacks.calls.add(arena_);
      call->module = module;
      call->offset = 16 * (at + 1);
      if (!calls[at].function.empty() || calls[at].line)
        call->frames.add(arena_, {calls[at].function, calls[at].file, calls[at].line, false, {}});
      Node* node = report_.stacks.nodes.add(arena_);
      node->call = report_.stacks.calls.size();
      node->caller = caller;
      caller = report_.stacks.nodes.size();
    }
    return caller;
  }
  Site& site(uint64_t id, uint64_t signature, StackId at, uint64_t live = 1) {
    Site& one = *report_.sites.add(arena_);
    one.id = id;
    one.signature = signature;
    one.stack = at;
    one.live = live;
    one.acquired_by = "open";
    return one;
  }
  /// What is described of these, and of nothing else.
  std::vector<HeldText> held(std::initializer_list<HeldSite> sites) {
    text_.clear();
    group_places(report_, arena_);
    describe_held_sites(report_, {sites.begin(), sites.size()}, text_);
    return read();
  }
  std::vector<HeldText> read() {
    std::vector<HeldText> all;
    std::string_view rest = text_.text();
    for (HeldText one; take_held_text(rest, one);) all.push_back(one);
    EXPECT_EQ(rest, "");
    return all;
  }
  std::string shown_stack(std::initializer_list<HeldSite> sites) {
    std::vector<HeldText> all = held(sites);
    return all.size() == 1 ? std::string(all[0].stack) : std::to_string(all.size()) + " call sites";
  }

  base::Arena arena_;
  Report report_;
  base::FixedText<16384> text_;
};

TEST_F(DescribeTest, ACallSiteHasWhatItsSitesHoldSinceTheMark) {
  StackId one = stack({{"read_config", "/src/config.c", 12}, {"main", "/src/main.c", 5}});
  site(3, 7, one, 5).objects.add(arena_)->target = "/etc/old";
  report_.sites[0].objects.add(arena_)->target = "/etc/new";
  site(4, 7, one, 9);
  site(5, 8, one, 1);
  std::vector<HeldText> all = held({{3, 2, 20}, {4, 1, 10}, {6, 9, 9}});
  ASSERT_EQ(all.size(), 1u) << "site 5 holds nothing since, and there is no site 6";
  EXPECT_EQ(all[0].count, 3u);
  EXPECT_EQ(all[0].bytes, 30u);
  EXPECT_EQ(all[0].acquired_by, "open");
  EXPECT_EQ(all[0].function, "read_config");
  EXPECT_EQ(all[0].file, "/src/config.c");
  EXPECT_EQ(all[0].line, 12u);
  EXPECT_EQ(all[0].stack, "    read_config (/src/config.c:12)\n    main (/src/main.c:5)\n");
  EXPECT_EQ(held({{3, 0, 0}}).size(), 0u) << "nothing is held since";
}

TEST_F(DescribeTest, TheTargetIsTheNewestOfTheWorstSite) {
  Site& one = site(3, 7, stack({{"f", "/src/f.c", 1}}));
  EXPECT_EQ(held({{3, 1, 0}})[0].target, "");
  one.objects.add(arena_)->target = "/etc/old";
  one.objects.add(arena_)->target = "/etc/new";
  EXPECT_EQ(held({{3, 1, 0}})[0].target, "/etc/new");
  site(4, 7, one.stack, 9).objects.add(arena_)->target = "/etc/other";
  EXPECT_EQ(held({{3, 1, 0}})[0].target, "/etc/new") << "site 4 holds none of it";
}

TEST_F(DescribeTest, WhatIsSuppressedOrLibcsOwnIsLeftOut) {
  StackId at = stack({{"f", "/src/f.c", 1}});
  site(3, 7, at).suppressed_by = "fd:f";
  site(4, 8, at).owner = "libc";
  EXPECT_EQ(held({{3, 1, 0}, {4, 1, 0}}).size(), 0u);
  EXPECT_EQ(text_.size(), 1u) << "an empty part, which says that this is all";
}

TEST_F(DescribeTest, OnlyTheProgramsOwnFramesAreShown) {
  StackId at = stack({{"std::open", "/usr/include/c++/12/fstream", 3},
                      {"load", "/src/load.c", 4},
                      {"main", "/src/main.c", 5},
                      {"__libc_start_main"},
                      {"_start"}});
  site(3, 7, at);
  EXPECT_EQ(shown_stack({{3, 1, 0}}), "    load (/src/load.c:4)\n    main (/src/main.c:5)\n");
  EXPECT_EQ(held({{3, 1, 0}})[0].function, "load");
}

TEST_F(DescribeTest, WithoutFramesOfTheProgramsOwnAllButTheStartAreShown) {
  site(3, 7, stack({{"std::open"}, {"std::thread"}, {"_start"}}, "/usr/lib/libx.so"));
  EXPECT_EQ(shown_stack({{3, 1, 0}}),
            "    std::open (/usr/lib/libx.so+0x10)\n    std::thread (/usr/lib/libx.so+0x20)\n");
  std::vector<HeldText> all = held({{3, 1, 0}});
  EXPECT_EQ(all[0].function, "std::open");
  EXPECT_EQ(all[0].file, "");
  EXPECT_EQ(all[0].line, 0u);
}

TEST_F(DescribeTest, FramesBeyondTheLastSourceLineAreTheFrameworks) {
  site(3, 7, stack({{"inner"}, {"load", "/src/load.c", 4}, {"run_test"}, {"run_all"}}));
  EXPECT_EQ(shown_stack({{3, 1, 0}}), "    inner (/opt/program+0x10)\n    load (/src/load.c:4)\n");
  std::vector<HeldText> all = held({{3, 1, 0}});
  EXPECT_EQ(all[0].function, "load") << "the innermost with a line";
  EXPECT_EQ(all[0].line, 4u);
}

TEST_F(DescribeTest, ACallOfWhichNothingIsKnownHasItsOffset) {
  site(3, 7, stack({{""}, {""}}));
  EXPECT_EQ(shown_stack({{3, 1, 0}}), "    /opt/program+0x10\n    /opt/program+0x20\n");
  EXPECT_EQ(held({{3, 1, 0}})[0].function, "");
  site(4, 8, stack({{""}}, ""));
  EXPECT_EQ(shown_stack({{4, 1, 0}}), "    [unknown]+0x10\n");
}

TEST_F(DescribeTest, AStackThatIsCutEndsInDots) {
  StackId at = stack({{"f", "/src/f.c", 1}});
  site(3, 7, at).truncated = true;
  EXPECT_EQ(shown_stack({{3, 1, 0}}), "    f (/src/f.c:1)\n    …\n");
  std::vector<HeldText> all = held({});
  StackId deep = 0;
  for (uint32_t depth = 0; depth < 64; ++depth) {
    Node* node = report_.stacks.nodes.add(arena_);
    node->call = report_.stacks.nodes[at - 1].call;
    node->caller = deep;
    deep = report_.stacks.nodes.size();
  }
  site(4, 8, deep);
  EXPECT_EQ(shown_stack({{4, 1, 0}}).find("…"), std::string::npos) << "64 frames are shown";
  Node* node = report_.stacks.nodes.add(arena_);
  node->call = report_.stacks.nodes[at - 1].call;
  node->caller = deep;
  site(5, 9, report_.stacks.nodes.size());
  std::string cut = shown_stack({{5, 1, 0}});
  EXPECT_NE(cut.find("    …\n"), std::string::npos);
  EXPECT_EQ(std::count(cut.begin(), cut.end(), '\n'), 65);
}

TEST_F(DescribeTest, ACallSiteThatDoesNotFitIsLeftOutAsAWhole) {
  StackId at = stack({{"f", "/src/f.c", 1}});
  for (uint64_t id = 1; id <= 3; ++id) site(id, id, at, 10 - id);
  group_places(report_, arena_);
  const HeldSite kAll[] = {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}};
  base::FixedText<16384> whole;
  describe_held_sites(report_, kAll, whole);
  size_t each = whole.size() / 3;
  std::vector<char> room(2 * each + 5);
  base::TextBuilder out(room);
  describe_held_sites(report_, kAll, out);
  std::string_view rest = out.text();
  HeldText one;
  size_t count = 0;
  while (take_held_text(rest, one)) {
    ++count;
    EXPECT_EQ(one.stack, "    f (/src/f.c:1)\n");
  }
  EXPECT_EQ(count, 2u);
}

TEST_F(DescribeTest, OneThatIsDescribedOtherwiseIsReadBack) {
  HeldText text;
  text.count = 4;
  text.bytes = 5;
  text.acquired_by = "socket";
  text.target = "tcp";
  text.function = "serve";
  text.file = "/src/serve.py";
  text.line = 6;
  text.stack = "    serve (/src/serve.py:6)\n";
  add_held_text(text_, text);
  std::vector<HeldText> all = read();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].count, 4u);
  EXPECT_EQ(all[0].bytes, 5u);
  EXPECT_EQ(all[0].acquired_by, "socket");
  EXPECT_EQ(all[0].target, "tcp");
  EXPECT_EQ(all[0].function, "serve");
  EXPECT_EQ(all[0].file, "/src/serve.py");
  EXPECT_EQ(all[0].line, 6u);
  EXPECT_EQ(all[0].stack, "    serve (/src/serve.py:6)\n");
  char small[40];
  base::TextBuilder out(small);
  add_held_text(out, text);
  EXPECT_EQ(out.text(), "") << "it does not fit";
}

}  // namespace
}  // namespace unfreed::report
