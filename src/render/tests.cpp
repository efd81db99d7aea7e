#include "render/tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "render/function_names.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

namespace {
constexpr size_t kMostTests = 3;
constexpr size_t kMostOfName = 120;
}  // namespace

std::string describe_tests(const Place& place) {
  std::map<report::Text, report::TestShare> shares;
  bool any_omitted = false;
  for (uint32_t index : place.sites) {
    const report::Site& site = place.report->sites[index];
    any_omitted = any_omitted || site.tests_omitted;
    for (const report::TestShare& one : site.tests) shares[one.test].add(one);
  }
  if (shares.empty()) return {};
  std::vector<report::TestShare> tests;
  for (auto& [test, share] : shares) {
    share.test = test;
    tests.push_back(share);
  }
  std::sort(tests.begin(), tests.end(), report::has_more);
  auto name = [](report::Text test) { return cut_to(printable(test), kMostOfName); };
  if (tests.size() == 1 && tests[0].count() >= place.live + place.running)
    return "acquired in test " + name(tests[0].test);
  std::vector<std::string> parts;
  for (size_t at = 0; at < std::min(tests.size(), kMostTests); ++at)
    parts.push_back(fmt::format("{} ({})", name(tests[at].test), write_count(tests[at].count())));
  size_t more = tests.size() - parts.size();
  // Those that the report leaves out may be the same at several stacks.
  std::string rest = any_omitted ? " and more" : more ? fmt::format(" and {} more", write_count(more)) : "";
  return fmt::format("acquired in test{} {}{}", tests.size() == 1 && !any_omitted ? "" : "s", join(parts, ", "), rest);
}

}  // namespace unfreed::render
