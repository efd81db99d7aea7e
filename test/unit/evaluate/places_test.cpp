#include "evaluate/places.h"

#include <gtest/gtest.h>

#include <vector>

namespace unfreed::report {
namespace {

using ledger::Kind;

constexpr std::string_view kProgram = "/home/me/build/app";
constexpr std::string_view kLibrary = "/usr/lib/libglib-2.0.so.0";

PlaceFrame by_line(std::string_view name, std::string_view file, uint32_t line, uint32_t function_line) {
  ResolvedFrame frame;
  frame.plain_name = frame.function = name;
  frame.file = file;
  frame.line = line;
  frame.function_line = function_line;
  return place_frame(kProgram, 100 + line, &frame);
}
PlaceFrame by_function(std::string_view module, std::string_view symbol, uint64_t offset) {
  ResolvedFrame frame;
  frame.function = frame.linkage_name = frame.symbol = symbol;
  frame.symbol_offset = offset;
  return place_frame(module, 4096 + offset, &frame);
}
StackPlace place(std::initializer_list<PlaceFrame> outermost_first) {
  StackPlace place;
  for (const PlaceFrame& frame : outermost_first) place.add(frame);
  return place;
}

TEST(Places, ALineIsCountedFromItsFunction) {
  auto of = [](uint32_t line, uint32_t function_line, std::string_view file = "/src/log.c",
               std::string_view name = "f") {
    return place({by_line("main", "/src/main.c", 9, 5), by_line(name, file, line, function_line)}).lasting();
  };
  EXPECT_EQ(of(12, 10), of(112, 110)) << "lines were added before the function";
  EXPECT_EQ(of(12, 10), of(12, 10, "/elsewhere/log.c")) << "another folder";
  EXPECT_NE(of(12, 10), of(13, 10));
  EXPECT_NE(of(12, 10), of(12, 10, "/src/other.c"));
  EXPECT_NE(of(12, 10), of(12, 10, "/src/log.c", "g"));
  EXPECT_NE(of(12, 0), of(112, 0)) << "nothing to count from";
  EXPECT_EQ(place({by_line("f", "/src/log.c", 12, 10)}).known_by(), PlaceKnownBy::line);
}

TEST(Places, LibrariesFramesTakeNoPartWhereTheProgramsAre) {
  PlaceFrame caller = by_line("main", "/src/main.c", 9, 5);
  PlaceFrame callee = by_line("on_event", "/src/main.c", 3, 2);
  PlaceFrame header = by_line("std::vector::push_back", "/usr/include/c++/12/vector", 99, 90);
  StackPlace direct = place({caller, callee});
  EXPECT_EQ(direct.lasting(), place({caller, by_function(kLibrary, "g_main_loop_run", 5), callee, header}).lasting());
  EXPECT_EQ(place({caller, callee, header}).known_by(), PlaceKnownBy::line);
  EXPECT_NE(direct.lasting(), place({callee, caller}).lasting());
  EXPECT_NE(direct.lasting(), place({callee}).lasting());
  EXPECT_EQ(direct.lasting(),
            place({by_function("/usr/lib/libc.so.6", "__libc_start_main", 5), caller, callee}).lasting());
}

TEST(Places, WithoutLinesCallsInAFunctionAreToldApart) {
  auto of = [](uint64_t offset) { return place({by_function(kProgram, "open_all", offset)}); };
  EXPECT_EQ(of(20).lasting(), of(20).lasting());
  EXPECT_NE(of(20).lasting(), of(40).lasting());
  EXPECT_EQ(of(20).known_by(), PlaceKnownBy::function);
  EXPECT_NE(of(20).lasting(), place({by_function(kProgram, "open_all.constprop.0", 20)}).lasting());
  StackPlace header =
      place({by_function(kProgram, "main", 8), by_function(kProgram, "std::function<int()>::call()", 20)});
  EXPECT_NE(header.lasting(), place({by_function(kProgram, "main", 8)}).lasting()) << "it may hold inlined code";
}

TEST(Places, AnInterpretersLoopIsOnePlace) {
  auto of = [](std::string_view symbol, uint64_t offset) {
    return place({by_function("/usr/bin/python3.11", symbol, offset)});
  };
  EXPECT_EQ(of("_PyEval_EvalFrameDefault", 20).lasting(), of("_PyEval_EvalFrameDefault", 400).lasting());
  EXPECT_EQ(of("eval.part.0", 20).lasting(), of("eval", 30).lasting());
  EXPECT_NE(of("eval", 20).lasting(), of("call", 20).lasting());
}

TEST(Places, WithoutNamesAddressesOfTheModuleRemain) {
  auto of = [](std::string_view module, uint64_t offset) { return place({place_frame(module, offset, nullptr)}); };
  EXPECT_EQ(of("/opt/a/app", 20).lasting(), of("/opt/b/app", 20).lasting());
  EXPECT_NE(of("/opt/a/app", 20).lasting(), of("/opt/a/app", 24).lasting());
  EXPECT_EQ(of("/opt/a/app", 20).known_by(), PlaceKnownBy::module);
  EXPECT_EQ(of("", 0x7f0000001234).lasting(), of("", 0x7f8888881234).lasting()) << "an address differs in each run";
}

TEST(Places, TwoLinesWithOneSignatureAreToldApart) {
  // Two files of one name, with functions of one name.
  StackPlace here = place({by_line("init", "/src/a/util.c", 12, 10)});
  StackPlace there = place({by_line("init", "/src/b/util.c", 52, 50)});
  ASSERT_EQ(here.lasting(), there.lasting());
  std::vector<SignedStack> stacks = {
      {1, 5}, {here.lasting(), here.exact()}, {there.lasting(), there.exact()}, {here.lasting(), here.exact()}, {2, 6},
      {2, 6}};
  std::vector<uint32_t> order(stacks.size());
  settle_signatures(stacks, order);
  EXPECT_NE(stacks[1].signature, stacks[2].signature);
  EXPECT_EQ(stacks[1].signature, stacks[3].signature);
  EXPECT_NE(stacks[1].signature, here.lasting()) << "a suppression of either must not cover the other";
  EXPECT_NE(stacks[2].signature, here.lasting());
  EXPECT_EQ(stacks[0].signature, 1u);
  EXPECT_EQ(stacks[4].signature, 2u) << "one place, however many stacks";
}

TEST(Places, SignaturesDependOnKindAndHook) {
  EXPECT_NE(signature_of(1, Kind::fd, "open"), signature_of(1, Kind::fd, "openat"));
  EXPECT_NE(signature_of(1, Kind::fd, "open"), signature_of(1, Kind::heap, "open"));
  EXPECT_NE(signature_of(1, Kind::fd, "open"), signature_of(2, Kind::fd, "open"));
}

class Grouping : public ::testing::Test {
 protected:
  Site& add(uint64_t signature, uint64_t live) {
    Site& site = *report_.sites.add(arena_);
    site.id = report_.sites.size();
    site.signature = signature;
    site.live = site.total = site.peak = live;
    return site;
  }
  base::Arena arena_;
  Report report_;
};

TEST_F(Grouping, NumbersOfAPlaceAreThoseOfItsSites) {
  add(7, 3);
  add(8, 4).peak = 9;
  add(7, 2).truncated = true;
  regroup_places(report_, arena_);
  ASSERT_EQ(report_.places.size(), 2u);
  EXPECT_EQ(report_.places[0].live, 5u);
  EXPECT_EQ(report_.places[0].peak, 5u);
  EXPECT_EQ(report_.places[0].first(), 0u);
  EXPECT_EQ(report_.places[0].sites.size(), 2u);
  EXPECT_TRUE(report_.places[0].truncated);
  EXPECT_EQ(report_.places[1].peak, 9u);
  EXPECT_EQ(report_.worst_site[index_of(Subject::fd)][Counter::live], 5u);
  EXPECT_EQ(report_.worst_site[index_of(Subject::fd)][Counter::peak], 9u);
}

TEST_F(Grouping, SuppressedAndOverflownSitesAreApart) {
  add(7, 1);
  add(7, 2).suppressed_by = "fd:x";
  add(7, 4).overflow = true;
  add(7, 8).overflow = true;
  add(7, 16).kind = Kind::heap;
  regroup_places(report_, arena_);
  EXPECT_EQ(report_.places.size(), 5u);
  EXPECT_EQ(report_.worst_site[index_of(Subject::fd)][Counter::live], 8u);
}

TEST_F(Grouping, WhatMayBeLostComesBeforeWhatIsHeld) {
  auto add_heap = [&](uint64_t signature, uint64_t bytes) -> Site& {
    Site& site = add(signature, 1);
    site.kind = Kind::heap;
    site.bytes = bytes;
    return site;
  };
  add_heap(1, 5000);
  Site& possibly = add_heap(2, 100);
  possibly.possibly_lost = 1;
  possibly.possibly_lost_bytes = 100;
  Site& lost = add_heap(3, 50);
  lost.lost = 1;
  lost.lost_bytes = 50;
  Site& indirectly = add_heap(4, 200);
  indirectly.indirectly_lost = 1;
  indirectly.indirectly_lost_bytes = 200;
  regroup_places(report_, arena_);
  std::vector<uint64_t> order;
  for (const Place& place : report_.places) order.push_back(report_.sites[place.first()].signature);
  EXPECT_EQ(order, (std::vector<uint64_t>{3, 4, 2, 1}));
}

TEST_F(Grouping, APlaceGrowsThoughItsStacksAreFew) {
  for (int at = 0; at < 12; ++at) {
    Site& site = add(7, 0);
    site.kind = Kind::thread;
    site.running = site.total = site.peak = 1;
  }
  group_places(report_, arena_);
  ASSERT_EQ(report_.places.size(), 1u);
  EXPECT_TRUE(report_.places[0].growing);
}

}  // namespace
}  // namespace unfreed::report
