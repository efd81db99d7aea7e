#include "render/grouping.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "evaluate/places.h"
#include "render/frames.h"
#include "render/samples.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Site;

namespace {

constexpr Grouping kGroupings[] = {
    {"site", GroupBy::site},     {"line", GroupBy::line},     {"function", GroupBy::function}, {"file", GroupBy::file},
    {"module", GroupBy::module}, {"thread", GroupBy::thread}, {"target", GroupBy::target},     {"test", GroupBy::test}};

constexpr std::string_view kNotKnown = "[not known]";
constexpr std::string_view kNoTest = "[in no test, or not known]";
constexpr std::string_view kOtherTests = "[other tests]";

/// A group's name, as a frame.
struct Label {
  std::string function;
  report::Text file;
  uint32_t line = 0;
  report::Text module;
  auto key() const { return std::tie(function, file, line, module); }
  bool operator<(const Label& other) const { return key() < other.key(); }
};

/// Threads, targets and tests are of objects, the rest is of stacks.
bool is_of_objects(GroupBy by) { return by == GroupBy::thread || by == GroupBy::target || by == GroupBy::test; }

/// What is not known of some.
std::string_view gap_of(GroupBy by) {
  if (by == GroupBy::test) return ", and what of a test's is lost is not known";
  return is_of_objects(by) ? ", which is known of the oldest and the newest of each" : "";
}

class Groups {
 public:
  Groups(Report& report, base::Arena& arena, GroupBy by) : report_(report), arena_(arena), by_(by) {}

  void make() {
    for (const Sample& sample : by_ == GroupBy::test ? list_samples_by_test(report_) : list_samples(report_))
      if (sample.site) add(sample);
    std::map<uint64_t, uint64_t> renamed;  // sites, by their numbers
    for (auto& [key, one] : groups_) {
      one.site.id = sites_.size() + 1;
      one.site.signature = base::hash_text(std::get<2>(key).function, base::hash_text(std::get<2>(key).file)) ^
                           (std::get<2>(key).line * uint64_t{0x9e3779b97f4a7c15});
      one.site.stack = add_stack(std::get<2>(key));
      std::stable_sort(one.ages.begin(), one.ages.end(),
                       [](const auto& left, const auto& right) { return left.age_ns > right.age_ns; });
      for (const report::AgeGroup& age : one.ages) one.site.ages.add(arena_, age);
      one.site.take_ages();
      for (const Site* member : one.members) renamed[member->id] = one.site.id;
      sites_.push_back(one.site);
    }
    report_.sites = {};
    report_.sites.reserve(arena_, sites_.size());
    for (const Site& site : sites_) report_.sites.add(arena_, site);
    report_.retention = {};  // its paths lead from call site to call site
    for (report::RuleOutcome& rule : report_.rules) rule.site = renamed[rule.site];
    for (report::Hint& hint : report_.hints) hint.site = renamed[hint.site];
    for (report::Thread& thread : report_.threads) thread.site = renamed[thread.site];
    for (report::Descriptor& one : report_.descriptors) one.site = renamed[one.site];
    report::group_places(report_, arena_);
    report_.notes.add(arena_, arena_.copy(fmt::format("call sites are put together by {}{}",
                                                      kGroupings[static_cast<size_t>(by_)].name, gap_of(by_))));
  }

 private:
  struct Group {
    Site site;
    std::vector<const Site*> members;
    std::vector<report::AgeGroup> ages;
  };
  using Key = std::tuple<ledger::Kind, bool, Label>;

  void add(const Sample& sample) {
    const Site& from = *sample.site;
    bool is_informational = from.grade == report::Grade::informational;
    Group& group = groups_[Key{from.kind, is_informational, label_of(sample)}];
    Site& site = group.site;
    bool is_first = group.members.empty();
    if (is_first) {
      site.kind = from.kind;
      site.grade = from.grade;
      site.acquired_by = from.acquired_by;
    }
    site.grade = std::min(site.grade, from.grade);
    if (site.acquired_by != from.acquired_by) site.acquired_by = "";
    site.live += sample.values[Counter::live];
    site.bytes += sample.values[Counter::bytes];
    if (!is_of_objects(by_)) {  // of what has been released, it is not known whose it was
      site.total += sample.values[Counter::total];
      site.total_bytes += sample.values[Counter::total_bytes];
    }
    site.running += sample.values[Counter::running];
    report::Losses losses;
    losses.lost = sample.values[Counter::lost];
    losses.lost_bytes = sample.values[Counter::lost_bytes];
    losses.indirectly_lost = sample.values[Counter::indirectly_lost];
    losses.indirectly_lost_bytes = sample.values[Counter::indirectly_lost_bytes];
    losses.possibly_lost = sample.values[Counter::possibly_lost];
    losses.possibly_lost_bytes = sample.values[Counter::possibly_lost_bytes];
    site.add(losses);
    bool is_new = group.members.empty() || group.members.back() != &from;
    if (!is_new) return;
    group.members.push_back(&from);
    site.growing = site.growing || from.growing;
    site.truncated = site.truncated || from.truncated;
    for (const report::Object& object : from.objects)
      if (!is_of_objects(by_) || is_of(object, sample)) site.objects.add(arena_, object);
    if (is_of_objects(by_)) return;
    site.objects_omitted += from.objects_omitted;
    group.ages.insert(group.ages.end(), from.ages.begin(), from.ages.end());
  }

  bool is_of(const report::Object& object, const Sample& sample) const {
    if (by_ == GroupBy::thread) return object.thread.value_or(0) == sample.thread;
    if (by_ == GroupBy::test && sample.is_of_other_tests) {
      const auto& listed = sample.site->tests;
      bool is_listed =
          std::any_of(listed.begin(), listed.end(), [&](const auto& one) { return one.test == object.test; });
      return !object.test.empty() && !is_listed;
    }
    if (by_ == GroupBy::test) return object.test == sample.test;
    return (object.target.empty() ? object.name : object.target) == sample.target;
  }

  Label label_of(const Sample& sample) const {
    if (by_ == GroupBy::target) return {std::string(sample.target.empty() ? kNotKnown : sample.target), {}, 0, {}};
    if (by_ == GroupBy::test) {
      std::string_view unnamed = sample.is_of_other_tests ? kOtherTests : kNoTest;
      return {std::string(sample.test.empty() ? unnamed : sample.test), {}, 0, {}};
    }
    if (by_ == GroupBy::thread) return {name_of_thread(sample.thread), {}, 0, {}};
    std::vector<StackFrame> frames = list_frames(report_, sample.stack());
    std::vector<ShownFrame> chosen = choose_frames(frames, report_.process.exe, PathShortener("", ""), 1);
    if (chosen.empty()) return {std::string(kNotKnown), {}, 0, {}};
    const StackFrame& frame = *chosen[0].frame;
    std::string function = name_or_offset(frame);
    bool is_nameless = frame.function.empty() && !frame.line;  // its offset says where it is
    switch (by_) {
      case GroupBy::line:
        if (is_nameless) return {function, {}, 0, {}};
        return {function, frame.file, frame.line, frame.module};
      case GroupBy::function:
        if (is_nameless) return {function, {}, 0, {}};
        return {function, frame.file, 0, frame.module};
      case GroupBy::file:
        if (!frame.file.empty()) return {std::string(frame.file), {}, 0, {}};
        [[fallthrough]];
      default:
        return {std::string(frame.module.empty() ? kNotKnown : frame.module), {}, 0, {}};
    }
  }

  std::string name_of_thread(int64_t number) const {
    if (!number) return std::string(kNotKnown);
    for (const report::Thread& one : report_.threads)
      if (one.thread == number && !one.name.empty()) return fmt::format("thread {} ({})", number, one.name);
    return fmt::format("thread {}", number);
  }

  report::StackId add_stack(const Label& label) {
    report::Call call;
    call.module = label.module;
    report::Frame* frame = call.frames.add(arena_);
    if (!frame) return 0;
    frame->function = arena_.copy(label.function);
    frame->file = label.file;
    frame->line = label.line;
    if (!report_.stacks.calls.add(arena_, call)) return 0;
    if (!report_.stacks.nodes.add(arena_, {report_.stacks.calls.size(), 0})) return 0;
    return report_.stacks.nodes.size();
  }

  Report& report_;
  base::Arena& arena_;
  GroupBy by_;
  std::map<Key, Group> groups_;
  std::vector<Site> sites_;
};

}  // namespace

std::span<const Grouping> groupings() { return kGroupings; }

void group(Report& report, base::Arena& arena, GroupBy by) {
  if (by != GroupBy::site) Groups(report, arena, by).make();
}

}  // namespace unfreed::render
