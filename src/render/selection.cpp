#include "render/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/scan.h"
#include "evaluate/places.h"
#include "render/ages.h"
#include "render/kernel_view.h"
#include "render/places.h"
#include "render/quantities.h"
#include "render/text_parts.h"
#include "settings/subjects.h"

namespace unfreed::render {

using report::Report;
using report::Site;
using report::Subject;

std::optional<Pattern> Pattern::compile(const std::string& text, std::string& error) {
  auto compiled = std::make_unique<regex_t>();
  if (int problem = regcomp(compiled.get(), text.c_str(), REG_EXTENDED | REG_NOSUB)) {
    char message[128];
    regerror(problem, compiled.get(), message, sizeof message);
    error = message;
    return {};
  }
  Pattern pattern;
  pattern.compiled_ = std::shared_ptr<regex_t>(compiled.release(), [](regex_t* one) {
    regfree(one);
    delete one;
  });
  return pattern;
}

bool Pattern::matches(std::string_view text) const {
  // With REG_STARTEND the text needs no byte of zero at its end.
  regmatch_t range = {0, static_cast<regoff_t>(text.size())};
  return regexec(compiled_.get(), text.empty() ? "" : text.data(), 0, &range, REG_STARTEND) == 0;
}

namespace {

uint64_t number_held(const Report&, const report::Place& place) { return place.live + place.running; }
uint64_t number_of_bytes(const Report&, const report::Place& place) { return place.bytes; }
uint64_t number_acquired(const Report&, const report::Place& place) { return place.total; }
uint64_t growth_of(const Report&, const report::Place& place) { return place.value(report::Counter::growth); }
uint64_t age_of(const Report& report, const report::Place& place) {
  uint64_t oldest = 0;
  for (uint32_t site : place.sites) oldest = std::max(oldest, report.sites[site].oldest_age_ns);
  return oldest;
}

constexpr Order kOrders[] = {{"live", number_held},
                             {"bytes", number_of_bytes},
                             {"age", age_of},
                             {"growth", growth_of},
                             {"total", number_acquired}};

class Selecting {
 public:
  Selecting(Report& report, base::Arena& arena, const Selection& selection)
      : report_(report), arena_(arena), selection_(selection) {}

  std::string select() {
    find_matching_calls();
    find_thread();
    uint64_t before = count_places();
    keep_sites();
    report::group_places(report_, arena_);
    uint64_t hidden = before - std::min(before, count_places());
    group(report_, arena_, selection_.by);
    before = count_places();
    keep_places();
    uint64_t left_out = before - std::min(before, count_places());
    bool are_sites = selection_.by == GroupBy::site;
    hide("more call site", hidden + (are_sites ? left_out : 0));
    hide("group", are_sites ? 0 : left_out);
    std::set<uint64_t> shown;
    for (const Site& site : report_.sites) shown.insert(site.id);
    keep(
        report_.hints, "hint", [&](const report::Hint& one) { return !one.site || shown.contains(one.site); },
        [](const report::Hint&) { return false; });
    // Of a process that is not tracked they are the totals, too.
    bool are_totals = is_kernel_view(report_);
    size_t descriptors = report_.descriptors.size(), threads = report_.threads.size();
    // Left out: what belongs to no call site or thread. Selections are about those.
    auto is_unattributed = [](const auto& one) { return one.origin == "unattributed"; };
    keep(
        report_.descriptors, "unattributed descriptor",
        [&](const report::Descriptor& one) {
          return wants(Subject::fd) && selection_.thread.empty() && matches(one.target);
        },
        is_unattributed);
    if (are_totals)
      report_.descriptors_omitted += descriptors - report_.descriptors.size();
    else if (report_.descriptors.empty())
      report_.descriptors_omitted = 0;
    keep(
        report_.threads, "thread",
        [&](const report::Thread& one) {
          return wants(Subject::thread) && is_thread(one.thread) &&
                 (matches(one.name) || matches(one.start_routine) || matches_stack(one.stack.value_or(0)));
        },
        [](const report::Thread& one) {
          return one.thread_class != "main" && one.thread_class != "libc" && one.thread_class != "ignored";
        });
    if (are_totals) report_.threads_omitted += threads - report_.threads.size();
    keep(
        report_.children, "unattributed child",
        [&](const report::Child& one) {
          return wants(Subject::child) && is_thread(one.thread.value_or(0)) && matches(one.name);
        },
        is_unattributed);
    keep(report_.misuse, "invalid close",
         [&](const report::Misuse& one) { return wants(Subject::misuse) && is_call(one); });
    keep(report_.exec_leaks, "inherited descriptor", [&](const report::ExecLeak& one) {
      return wants(Subject::exec) && selection_.thread.empty() &&
             (matches(one.target) || matches(one.program) || matches_stack(one.stack));
    });
    keep(report_.failures, "failed call", [&](const report::Failure& one) {
      return wants(report::subject_of(one.kind)) && is_thread(one.thread) &&
             (matches(one.function) || matches_stack(one.stack));
    });
    return say_what_is_hidden();
  }

 private:
  bool wants(Subject subject) const { return !selection_.subjects || selection_.subjects & report::bit_of(subject); }

  // ---- patterns ----

  bool matches(std::string_view text) const {
    return !selection_.pattern || (!text.empty() && selection_.pattern->matches(text));
  }
  bool matches(report::CallId call) const {
    return !selection_.pattern || (call && call <= calls_.size() && calls_[call - 1]);
  }
  bool matches_stack(report::StackId stack) const {
    return !selection_.pattern || (stack && stack <= stacks_.size() && stacks_[stack - 1]);
  }

  void find_matching_calls() {
    if (!selection_.pattern) return;
    for (const report::Call& call : report_.stacks.calls) {
      bool found = matches(call.module);
      for (const report::Frame& frame : call.frames)
        found = found || matches(frame.function) || matches(frame.linkage_name) || matches(frame.file);
      calls_.push_back(found);
    }
    // A node's caller comes before it.
    for (const report::Node& node : report_.stacks.nodes) {
      bool is_known = node.caller && node.caller <= stacks_.size();
      stacks_.push_back(matches(node.call) || (is_known && stacks_[node.caller - 1]));
    }
  }

  bool matches_site(const Site& site) const {
    if (matches(site.acquired_by) || matches_stack(site.stack)) return true;
    if (std::any_of(site.tests.begin(), site.tests.end(), [&](const auto& one) { return matches(one.test); }))
      return true;
    return std::any_of(site.objects.begin(), site.objects.end(), [&](const report::Object& one) {
      return matches(one.target) || matches(one.name) || matches(one.test) || matches(one.start_routine);
    });
  }

  // ---- threads ----

  void find_thread() {
    const std::string& given = selection_.thread;
    uint64_t number = 0;
    if (base::parse_number(given, number)) threads_.push_back(static_cast<int64_t>(number));
    for (const report::Thread& one : report_.threads)
      if (!given.empty() && one.name == given) threads_.push_back(one.thread);
  }
  bool is_thread(int64_t number) const {
    return selection_.thread.empty() || std::find(threads_.begin(), threads_.end(), number) != threads_.end();
  }
  bool is_call(const report::Misuse& misuse) const {
    if (!selection_.pattern && selection_.thread.empty()) return true;
    for (const auto& [title, call] : closing_calls(misuse))
      if (is_thread((*call)->thread) && (matches((*call)->function) || matches_stack((*call)->stack))) return true;
    return false;
  }

  /// Leaves of a site what that thread acquired (or, of threads, what is that thread), as far as its objects say.
  void keep_of_thread(Site& site) {
    report::Totals kept;
    bool all_are_listed = !site.objects.empty() && !site.objects_omitted;
    uint64_t live_before = site.live;
    uint32_t objects = 0;
    for (const report::Object& one : site.objects) {
      if (!is_thread(one.thread.value_or(0)) && !is_thread(one.created_by.value_or(0))) continue;
      bool is_running = one.state == "running";
      kept[is_running ? report::Counter::running : report::Counter::live] += 1;
      kept[report::Counter::bytes] += one.bytes.value_or(0);
      kept[report::Counter::lost] += one.lost;
      site.objects[objects++] = one;
    }
    if (site.objects.empty() || site.objects_omitted) is_partly_known_ = true;
    site.objects.shrink(objects);
    site.objects_omitted = 0;
    site.ages.clear();
    site.take_ages();
    static_cast<report::Losses&>(site) = {};
    site.live = kept[report::Counter::live];
    site.running = kept[report::Counter::running];
    site.bytes = kept[report::Counter::bytes];
    site.lost = kept[report::Counter::lost];
    site.take_tests(all_are_listed, live_before);
  }

  // ---- call sites ----

  uint64_t count_places() const {
    return static_cast<uint64_t>(std::count_if(report_.places.begin(), report_.places.end(),
                                               [](const report::Place& one) { return one.live || one.running; }));
  }

  void keep_sites() {
    uint32_t kept = 0;
    for (Site& site : report_.sites) {
      if (!wants(report::subject_of(site.kind)) || !matches_site(site)) continue;
      if (!selection_.thread.empty()) {
        keep_of_thread(site);
        if (!site.live && !site.running) continue;
      }
      report_.sites[kept++] = site;
    }
    report_.sites.shrink(kept);
  }

  /// By what a call site has in all, so after they have been grouped.
  void keep_places() {
    const Order& order = selection_.order ? *selection_.order : kOrders[0];
    auto number = [&](const report::Place& place) { return order.number(report_, place); };
    std::vector<report::Place> places(report_.places.begin(), report_.places.end());
    if (selection_.min) std::erase_if(places, [&](const auto& one) { return number(one) < selection_.min; });
    auto is_own = [&](const report::Place& one) { return report_.sites[one.first()].counts(); };
    if (selection_.order)
      std::stable_sort(places.begin(), places.end(), [&](const auto& left, const auto& right) {
        return is_own(left) != is_own(right) ? is_own(left) : number(left) > number(right);
      });
    if (selection_.top && places.size() > selection_.top) places.resize(selection_.top);
    std::vector<Site> sites;
    for (report::Place& place : places)
      for (uint32_t& index : place.sites) {
        sites.push_back(report_.sites[index]);
        index = static_cast<uint32_t>(sites.size() - 1);
      }
    report_.sites.shrink(sites.size());
    report_.places.shrink(places.size());
    std::copy(sites.begin(), sites.end(), report_.sites.begin());
    std::copy(places.begin(), places.end(), report_.places.begin());
  }

  // ---- what is not shown ----

  /// `is_news`: is it worth mentioning that it is not shown?
  template <class T, class Wanted, class News>
  void keep(report::List<T>& list, const char* noun, Wanted is_wanted, News is_news) {
    uint32_t kept = 0;
    uint64_t hidden = 0;
    for (const T& one : list)
      if (is_wanted(one))
        list[kept++] = one;
      else
        hidden += is_news(one);
    hide(noun, hidden);
    list.shrink(kept);
  }
  template <class T, class Wanted>
  void keep(report::List<T>& list, const char* noun, Wanted is_wanted) {
    keep(list, noun, is_wanted, [](const T&) { return true; });
  }
  void hide(const char* noun, uint64_t count) {
    if (count) hidden_.push_back(write_number_of(count, noun));
  }
  std::string say_what_is_hidden() {
    std::vector<std::string> lines;
    std::string what;
    for (size_t at = 0; at < hidden_.size(); ++at)
      what += (at == 0 ? "" : at + 1 == hidden_.size() ? " and " : ", ") + hidden_[at];
    if (!what.empty()) {
      bool is_one = hidden_.size() == 1 && hidden_[0].starts_with("1 ");
      lines.push_back(fmt::format("{} {} not shown: {}", what, is_one ? "is" : "are", selection_.written));
    }
    if (is_partly_known_)
      lines.push_back(
          "--thread: which thread acquired what is known of descriptors, threads and children that the report "
          "lists one by one, not of heap blocks");
    bool none_grow = std::none_of(report_.places.begin(), report_.places.end(),
                                  [](const report::Place& one) { return one.growth.has_value(); });
    if (selection_.order && selection_.order->name == "growth" && none_grow)
      lines.push_back(
          "--sort growth: of none of these call sites it is known whether it grows (unfreed watch finds out)");
    report::List<report::Text> notes;
    for (const std::string& line : lines) notes.add(arena_, arena_.copy(line));
    for (report::Text note : report_.notes) notes.add(arena_, note);
    report_.notes = notes;
    return fmt::format("{}", fmt::join(lines, "; "));
  }

  Report& report_;
  base::Arena& arena_;
  const Selection& selection_;
  std::vector<bool> calls_;   ///< by CallId - 1
  std::vector<bool> stacks_;  ///< by StackId - 1: does any of its calls match?
  std::vector<int64_t> threads_;
  std::vector<std::string> hidden_;
  bool is_partly_known_ = false;
};

}  // namespace

std::span<const Order> orders() { return kOrders; }

std::string select(Report& report, base::Arena& arena, const Selection& selection) {
  if (selection.older_ns) keep_older(report, arena, selection.older_ns, selection.older);
  return selection.is_any() ? Selecting(report, arena, selection).select() : "";
}

}  // namespace unfreed::render
