// Reading report JSON: what is good, what is tolerated, what is refused; and places.
#include "render/read_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "render/places.h"
#include "render/sample_report.h"
#include "report/json_writer.h"

namespace unfreed::render {
namespace {

using report::Counter;
using report::Subject;

class ReadJson : public ::testing::Test {
 protected:
  bool read(std::string_view text) { return read_json(text, arena_, report_, error_); }
  std::string refusal(std::string_view text) {
    EXPECT_FALSE(read(text)) << text;
    return error_;
  }
  std::string fault(const std::string& members) { return refusal("{\"schema_version\": 2, " + members + "}"); }
  std::string written(report::StackForm form) {
    std::string text;
    std::vector<char> buffer(report::kJsonBufferBytes);
    report::Sink sink{&text, [](void* context, std::string_view piece) {
                        static_cast<std::string*>(context)->append(piece);
                        return true;
                      }};
    EXPECT_TRUE(report::write_json(report_, form, buffer, sink));
    return text;
  }

  base::Arena arena_;
  report::Report report_;
  std::string error_;
};

TEST_F(ReadJson, ReadsReport) {
  ASSERT_TRUE(read(kSampleReport)) << error_;
  EXPECT_EQ(report_.process.pid, 4242);
  EXPECT_EQ(report_.process.exit_status, 0);
  EXPECT_EQ(report_.process.duration_ns, 1'234'000'000u);
  ASSERT_TRUE(report_.totals_of(Subject::fd));
  EXPECT_EQ((*report_.totals_of(Subject::fd))[Counter::live], 5u);
  EXPECT_FALSE(report_.totals_of(Subject::child));
  EXPECT_EQ(report_.coverage[1], ledger::Coverage::exact);
  ASSERT_EQ(report_.sites.size(), 5u);
  std::vector<StackFrame> stack = list_frames(report_, report_.sites[0].stack);
  ASSERT_EQ(stack.size(), 6u);
  EXPECT_EQ(stack[1].function, "service::Log::write(std::string const&)");
  EXPECT_EQ(stack[1].line, 42u);
  EXPECT_TRUE(stack[2].inlined);
  EXPECT_EQ(report_.sites[0].objects[0].fd, 7);
  ASSERT_EQ(report_.failures.size(), 1u);
  EXPECT_EQ(report_.failures[0].function, "openat");
  EXPECT_TRUE(report_.rules[0].broken);
  EXPECT_FALSE(report_.rules[1].is_checked());
}

TEST_F(ReadJson, ToleratesWhatItDoesNotKnowAndWhatIsMissing) {
  ASSERT_TRUE(read(R"({"schema_version": 2, "new": {"deep": [1, 2, {}]}, "sites": [
    {"kind": "fd", "live": 3, "stack": [{"offset": 7, "colour": "red"}], "mood": null}, {}]})"))
      << error_;
  EXPECT_EQ(report_.sites.size(), 2u);
  EXPECT_EQ(report_.sites[0].live, 3u);
  std::vector<StackFrame> stack = list_frames(report_, report_.sites[0].stack);
  ASSERT_EQ(stack.size(), 1u);
  EXPECT_EQ(stack[0].offset, 7u);
  EXPECT_EQ(stack[0].line, 0u);
}

TEST_F(ReadJson, RefusesMembersOfTheWrongType) {
  EXPECT_EQ(fault(R"("sites": {})"), "is not a report: sites is not a list");
  EXPECT_EQ(fault(R"("process": 7)"), "is not a report: process is not an object");
  EXPECT_EQ(fault(R"("totals": {"fd": {"live": -1}})"),
            "is not a report: totals.fd.live is not a non-negative whole number");
  EXPECT_EQ(fault(R"("sites": [{"live": 1}, {"live": "3"}])"),
            "is not a report: sites[1].live is not a non-negative whole number");
  EXPECT_EQ(fault(R"("sites": [{"live": 1e300}])"),
            "is not a report: sites[0].live is not a non-negative whole number");
  EXPECT_TRUE(fault(R"("sites": [{"kind": "banana"}])")
                  .starts_with("is not a report: sites[0].kind is not one of fd, heap, thread, child"));
  EXPECT_EQ(fault(R"("sites": [{"stack": [{}, {"line": "x"}]}])"),
            "is not a report: sites[0].stack[1].line is not a non-negative whole number");
  EXPECT_EQ(fault(R"("sites": [{"objects": [null]}])"), "is not a report: sites[0].objects[0] is not an object");
  EXPECT_EQ(fault(R"("rules": [{"broken": 1}])"), "is not a report: rules[0].broken is neither true nor false");
  EXPECT_EQ(fault(R"("sites": [{"signature": "12"}])"),
            "is not a report: sites[0].signature is not 16 hexadecimal digits");
}

TEST_F(ReadJson, RefusesLongerHistoriesThanAreRecorded) {
  auto of = [](size_t entries) {
    std::string list;
    for (size_t at = 0; at < entries; ++at) list += fmt::format("{}{{\"ago_ns\": {}}}", at ? ", " : "", entries - at);
    return R"("sites": [{"history": [)" + list + "]}]";
  };
  ASSERT_TRUE(read("{\"schema_version\": 2, " + of(42) + "}")) << error_;
  EXPECT_EQ(report_.sites[0].history.size(), 42u);
  EXPECT_EQ(fault(of(43)), "is not a report: sites[0].history has more than 42 entries");
}

TEST_F(ReadJson, RefusesStacksThatLeadNowhere) {
  EXPECT_EQ(fault(R"("sites": [{"stack": 1}])"), "is not a report: sites[0].stack is not the number of a stack");
  EXPECT_EQ(fault(R"("stacks": {"calls": 1, "call": [], "caller": []})"),
            "is not a report: stacks does not have three lists: calls, and call and caller of equal length");
  EXPECT_EQ(fault(R"("stacks": {"calls": [[{"offset": 1}]], "call": [1, 2], "caller": [0, 1]})"),
            "is not a report: stacks has an invalid reference at 1");
  EXPECT_EQ(fault(R"("stacks": {"calls": [[{"offset": 1}]], "call": [1], "caller": [1]})"),
            "is not a report: stacks has an invalid reference at 0");
}

TEST_F(ReadJson, RefusesWhatIsNoReport) {
  EXPECT_EQ(refusal(""), "is empty");
  EXPECT_EQ(refusal(" \n"), "is empty");
  EXPECT_EQ(refusal("hello"), "is neither a JSON report nor a ledger: unexpected text at line 1 (byte 0)");
  EXPECT_EQ(refusal("{\n\"schema_version\": 2,\n oops"),
            "is neither a JSON report nor a ledger: unexpected text at line 3 (byte 24)");
  EXPECT_NE(refusal("{\"schema_version\": 2").find("it ends too early"), std::string::npos);
  EXPECT_EQ(refusal("[]"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal("{}"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal(R"({"schema_version": "1"})"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal(R"({"schema_version": 1})"), "has schema_version 1, this program reads 2");
  EXPECT_EQ(refusal(R"({"schema_version": 2, "x": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}"),
            "is not a report: it is nested too deeply");
}

TEST_F(ReadJson, SurvivesDamage) {
  std::mt19937 random(11);
  const std::string whole(kSampleReport);
  int good = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    if (round % 3 == 0) damaged.resize(random() % whole.size());
    for (int hit = round % 5; hit > 0 && !damaged.empty(); --hit)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    arena_ = base::Arena();
    if (read(damaged)) {
      ++good;
      list_places(report_);
      EXPECT_FALSE(written(report::StackForm::file).empty());
    } else {
      EXPECT_FALSE(error_.empty());
    }
  }
  EXPECT_GT(good, 100);
}

TEST_F(ReadJson, AReportThatIsWrittenAndReadIsTheSame) {
  ASSERT_TRUE(read(kSampleReport)) << error_;
  for (report::StackForm form : {report::StackForm::file, report::StackForm::listed}) {
    std::string first = written(form);
    ASSERT_TRUE(read(first)) << error_;
    EXPECT_EQ(written(form), first);
  }
}

TEST_F(ReadJson, ManyStacksAreWrittenInATable) {
  ASSERT_TRUE(read(kSampleReport)) << error_;
  report::Site site = report_.sites[0];
  for (int more = 0; more < 200; ++more) report_.sites.add(arena_, site);
  std::string file = written(report::StackForm::file);
  std::string listed = written(report::StackForm::listed);
  EXPECT_NE(file.find("\"caller\": ["), std::string::npos);
  EXPECT_LT(file.size(), listed.size() / 2);
  ASSERT_TRUE(read(file)) << error_;
  EXPECT_EQ(written(report::StackForm::file), file);
  EXPECT_EQ(written(report::StackForm::listed), listed);
}

TEST_F(ReadJson, SitesOfOneSignatureAreOnePlace) {
  ASSERT_TRUE(read(kSampleReport)) << error_;
  std::vector<Place> places = list_places(report_);
  ASSERT_EQ(places.size(), 4u);
  EXPECT_EQ(places[0].live, 4u);
  EXPECT_EQ(places[0].objects.size(), 2u);
}

TEST_F(ReadJson, WhatIsSuppressedOrLibcsOrGoneDoesNotCount) {
  report::Site site;
  Place place{{}, &site, &report_, {}};
  place.live = 1;
  EXPECT_TRUE(place.counts());
  site.suppressed_by = "fd:x";
  EXPECT_FALSE(place.counts());
  site.suppressed_by = {};
  site.owner = "libc";
  EXPECT_FALSE(place.counts());
  site.owner = {};
  place.live = 0;
  EXPECT_FALSE(place.counts());
}

}  // namespace
}  // namespace unfreed::render
