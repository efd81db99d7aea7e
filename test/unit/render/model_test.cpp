// Reading report JSON: what is good, what is tolerated, what is refused.
#include "render/model.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "render/json.h"
#include "render/sample_report.h"

namespace unfreed::render {
namespace {

std::string refusal(std::string_view text) {
  std::string error;
  EXPECT_FALSE(parse_report(text, error)) << text;
  return error;
}

TEST(Model, ReadsReport) {
  std::string error;
  auto report = parse_report(kSampleReport, error);
  ASSERT_TRUE(report) << error;
  EXPECT_EQ(report->process.pid, 4242);
  EXPECT_EQ(report->process.exit_status, 0);
  EXPECT_EQ(report->process.duration_ns, 1'234'000'000u);
  ASSERT_TRUE(report->totals_of("fd"));
  EXPECT_EQ(report->totals_of("fd")->value("live"), 5u);
  EXPECT_EQ(report->coverage_of("heap"), "exact");
  ASSERT_EQ(report->sites.size(), 5u);
  EXPECT_EQ(report->sites[0].stack[1].function, "service::Log::write(std::string const&)");
  EXPECT_EQ(report->sites[0].stack[1].line, 42u);
  EXPECT_EQ(report->sites[0].objects[0].fd, 7);
  ASSERT_EQ(report->failures.size(), 1u);
  EXPECT_EQ(report->failures[0].function, "openat");
  EXPECT_TRUE(report->rules[0].broken);
  EXPECT_FALSE(report->rules[1].checked);
}

TEST(Model, ToleratesWhatItDoesNotKnowAndWhatIsMissing) {
  std::string error;
  auto report = parse_report(R"({"schema_version": 1, "new": {"deep": [1, 2, {}]}, "sites": [
    {"kind": "fd", "live": 3, "stack": [{"offset": 7, "colour": "red"}], "mood": null}, {}]})",
                             error);
  ASSERT_TRUE(report) << error;
  EXPECT_EQ(report->sites.size(), 2u);
  EXPECT_EQ(report->sites[0].live, 3u);
  EXPECT_EQ(report->sites[0].stack.size(), 1u);
  EXPECT_EQ(report->sites[0].stack[0].line, 0u);
}

TEST(Model, RefusesFieldsOfTheWrongKind) {
  auto fault = [](const std::string& members) { return refusal("{\"schema_version\": 1, " + members + "}"); };
  EXPECT_EQ(fault(R"("sites": {})"), "is not a report: sites is not a list");
  EXPECT_EQ(fault(R"("process": null)"), "is not a report: process is not an object");
  EXPECT_EQ(fault(R"("totals": {"fd": {"live": -1}})"), "is not a report: totals.fd.live is not a whole number");
  EXPECT_EQ(fault(R"("sites": [{"live": 1}, {"live": "3"}])"), "is not a report: sites[1].live is not a whole number");
  EXPECT_EQ(fault(R"("sites": [{"live": 1e300}])"), "is not a report: sites[0].live is not a whole number");
  EXPECT_EQ(fault(R"("sites": [{"kind": "banana"}])"), "is not a report: sites[0].kind is not a kind of resource");
  EXPECT_EQ(fault(R"("sites": [{"stack": [{}, {"line": "x"}]}])"),
            "is not a report: sites[0].stack[1].line is not a whole number");
  EXPECT_EQ(fault(R"("sites": [{"objects": [null]}])"), "is not a report: sites[0].objects[0] is not an object");
  EXPECT_EQ(fault(R"("rules": [{"broken": 1}])"), "is not a report: rules[0].broken is neither true nor false");
}

TEST(Model, RefusesWhatIsNoReport) {
  EXPECT_EQ(refusal(""), "is empty");
  EXPECT_EQ(refusal(" \n"), "is empty");
  EXPECT_EQ(refusal("hello"), "is not JSON: unexpected text at line 1 (byte 0)");
  EXPECT_EQ(refusal("{\n\"schema_version\": 1,\n oops"), "is not JSON: unexpected text at line 3 (byte 24)");
  EXPECT_NE(refusal("{\"schema_version\": 1").find("it ends too early"), std::string::npos);
  EXPECT_EQ(refusal("[]"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal("{}"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal(R"({"schema_version": "1"})"), "is not a report: it has no schema_version");
  EXPECT_EQ(refusal(R"({"schema_version": 2})"), "has schema_version 2, this program reads 1");
  EXPECT_EQ(refusal(R"({"schema_version": 1, "x": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}"),
            "is not a report: it is nested too deeply");
}

TEST(Model, SurvivesDamage) {
  std::mt19937 random(11);
  const std::string whole(kSampleReport);
  int read = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    if (round % 3 == 0) damaged.resize(random() % whole.size());
    for (int hit = round % 5; hit > 0 && !damaged.empty(); --hit)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    std::string error;
    if (auto report = parse_report(damaged, error)) {
      ++read;
      merge_by_signature(*report);
      auto json = read_report_json(damaged, error);
      ASSERT_TRUE(json);
      EXPECT_FALSE(render_json(*json).empty());
    } else {
      EXPECT_FALSE(error.empty());
    }
  }
  EXPECT_GT(read, 100);
}

TEST(Model, MergesSitesOfOneSignature) {
  std::string error;
  auto report = parse_report(kSampleReport, error);
  ASSERT_TRUE(report) << error;
  auto merged = merge_by_signature(*report);
  ASSERT_EQ(merged.size(), 4u);
  EXPECT_EQ(merged[0].parts, 2u);
  EXPECT_EQ(merged[0].site.live, 4u);
  EXPECT_EQ(merged[0].site.objects.size(), 2u);
}

TEST(Model, CountsNeitherSuppressedNorLibcsNorWhatIsGone) {
  Site site;
  site.live = 1;
  EXPECT_TRUE(counts(site));
  site.suppressed_by = "fd:x";
  EXPECT_FALSE(counts(site));
  site.suppressed_by.clear();
  site.owner = "libc";
  EXPECT_FALSE(counts(site));
  site.owner.clear();
  site.live = 0;
  EXPECT_FALSE(counts(site));
}

TEST(Json, WritesWhatItRead) {
  std::string error;
  auto json = read_report_json(kSampleReport, error);
  ASSERT_TRUE(json) << error;
  std::string written = render_json(*json);
  EXPECT_TRUE(written.ends_with("}\n"));
  auto again = read_report_json(written, error);
  ASSERT_TRUE(again) << error;
  EXPECT_EQ(*json, *again);
}

}  // namespace
}  // namespace unfreed::render
