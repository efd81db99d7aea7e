// Which tests acquired what is live or running.
#include <algorithm>

#include "evaluate/build.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

/// Tests listed of a site. The report's schema and the README say it.
constexpr size_t kMostTests = 64;

uint32_t serial_of(const Evaluation& evaluation, Kind kind, uint32_t index) {
  switch (kind) {
    case Kind::fd:
      return evaluation.fds[index].serial;
    case Kind::thread:
      return evaluation.threads[index].serial;
    case Kind::child:
      return evaluation.children[index].serial;
    default:
      return evaluation.handles[index].serial;
  }
}

/// As its site counts it: threads and children that have not ended apart, those of which that is not known not at all.
TestShare share_of(const Evaluation& evaluation, Kind kind, uint32_t index) {
  TestShare one;
  bool is_live = true, is_running = false;
  if (kind == Kind::thread) {
    is_live = evaluation.threads[index].finished;
    is_running = !is_live;
  } else if (kind == Kind::child) {
    is_live = evaluation.children[index].child_class == ChildClass::zombie;
    is_running = evaluation.children[index].child_class == ChildClass::running;
  }
  one.live = is_live;
  one.running = is_running;
  if (is_handle_kind(kind)) one.bytes = evaluation.handles[index].bytes;
  return one;
}

/// Sums by test, which are few at most sites.
class Shares {
 public:
  Shares(Build& build, size_t most) : all_(build.arena.take_array<TestShare>(most)) {}

  void add(const TestShare& share) {
    Text test = share.test;
    if (test.empty() || !share.count()) return;
    // Of one test's, one follows the other; two tests' names are two texts of the ledger.
    TestShare* same = count_ && all_[count_ - 1].test.data() == test.data() ? &all_[count_ - 1] : nullptr;
    if (!same && count_ < all_.size()) (same = &all_[count_++])->test = test;
    if (same) same->add(share);
  }

  void write(Build& build, Site& out) {
    std::span<TestShare> known = joined();
    std::sort(known.begin(), known.end(), has_more);
    size_t kept = std::min(known.size(), kMostTests);
    if (!kept || !out.tests.reserve(build.arena, kept)) kept = 0;
    for (const TestShare& one : known.first(kept)) out.tests.add(build.arena, one);
    out.tests_omitted = known.size() - kept;
    if (!out.tests_omitted) return;
    out.other_tests.emplace();
    for (const TestShare& one : known.subspan(kept)) out.other_tests->add(one);
  }

 private:
  std::span<TestShare> joined() {
    std::span<TestShare> known = all_.first(count_);
    std::sort(known.begin(), known.end(),
              [](const TestShare& left, const TestShare& right) { return left.test.data() < right.test.data(); });
    size_t kept = 0;
    for (const TestShare& one : known) {
      if (kept && known[kept - 1].test.data() == one.test.data()) {
        known[kept - 1].add(one);
      } else {
        known[kept++] = one;
      }
    }
    return known.first(kept);
  }

  std::span<TestShare> all_;
  size_t count_ = 0;
};

/// Of the argument that has GoogleTest run one test alone, as CMake's gtest_discover_tests() passes it; "" for none.
Text test_of_argument(std::string_view argument) {
  constexpr std::string_view kFilter = "--gtest_filter=";
  if (!argument.starts_with(kFilter)) return {};
  std::string_view name = argument;
  name.remove_prefix(kFilter.size());
  bool is_one = name.find('.') != Text::npos && name.find_first_of("*?:-") == Text::npos;
  return is_one ? name : Text();
}

}  // namespace

Text Tests::of_object(const Build& build, ledger::Kind kind, uint32_t index) const {
  uint32_t serial = serial_of(build.evaluation, kind, index);
  auto is_before = [](const ledger::TestRecord* one, uint32_t number) { return one->last_serial < number; };
  auto next = std::lower_bound(in_order.begin(), in_order.end(), serial, is_before);
  return next == in_order.begin() ? Text() : build.view().text((*(next - 1))->name);
}

Tests read_tests(Build& build) {
  Tests tests;
  std::span<const ledger::TestRecord*> all =
      build.arena.take_array<const ledger::TestRecord*>(build.view().test_count());
  size_t count = 0;
  for (uint32_t at = 0; at < all.size(); ++at) {
    const ledger::TestRecord* one = build.view().test(at);
    if (one && one->is_valid.load(std::memory_order_acquire)) all[count++] = one;
  }
  tests.in_order = all.first(count);
  // They are in order unless the file is forged. (The pointers are: of tests that acquired nothing, the last counts.)
  std::sort(tests.in_order.begin(), tests.in_order.end(), [](const auto* left, const auto* right) {
    return left->last_serial != right->last_serial ? left->last_serial < right->last_serial : left < right;
  });
  return tests;
}

void build_tests(Build& build, const Tests& tests, const HeapAges& ages, const EvaluatedSite& site, Site& out) {
  if (tests.in_order.empty()) return;
  if (site.kind == Kind::heap) {
    auto of_site = ages.of(out.id);
    Shares shares(build, of_site.size());
    for (const ledger::HeapAge* one : of_site) {
      const ledger::TestRecord* test = one->test ? build.view().test(one->test - 1) : nullptr;
      if (test) shares.add({build.view().text(test->name), one->blocks, 0, one->bytes});
    }
    return shares.write(build, out);
  }
  Shares shares(build, site.objects);
  for (uint32_t index = site.first_object; index < site.first_object + site.objects; ++index) {
    TestShare share = share_of(build.evaluation, site.kind, index);
    share.test = tests.of_object(build, site.kind, index);
    shares.add(share);
  }
  shares.write(build, out);
}

Text test_of_process(const Build& build) {
  const ledger::Header& header = build.view().header();
  Text test = build.view().text(header.test);
  if (!test.empty()) return test;
  build.view().each_text(header.argv, header.argv_count, [&](std::string_view argument) {
    if (test.empty()) test = test_of_argument(argument);
  });
  return test;
}

}  // namespace unfreed::report
