// The sections of a report next to its call sites: one form for all, which the page shows as lists to open.
//
//     {id, title, items: [{text, faint, lines: [text, …], stacks: [[title, node, truncated], …], rows: [[…], …]}, …]}
#include <fmt/format.h>

#include <algorithm>

#include "render/kernel_view.h"
#include "render/page_data.h"
#include "render/quantities.h"
#include "render/text_parts.h"
#include "report/describe.h"

namespace unfreed::render {

using nlohmann::json;
using report::Report;

namespace {

class Section {
 public:
  Section(const char* id, std::string title)
      : data_{{"id", id}, {"title", std::move(title)}, {"items", json::array()}} {}

  /// Adds an item; valid until the next.
  json& add(std::string text, std::string faint = "") {
    json item = {{"text", std::move(text)}};
    if (!faint.empty()) item["faint"] = std::move(faint);
    data_["items"].push_back(std::move(item));
    return data_["items"].back();
  }
  void omit(uint64_t count, const char* what) {
    if (count) add(fmt::format("and {} that the report leaves out", write_number_of(count, what)));
  }
  void end(json& sections) {
    if (!data_["items"].empty()) sections.push_back(std::move(data_));
  }

 private:
  json data_;
};

std::string times(uint64_t count) { return count > 1 ? fmt::format("{} times", write_count(count)) : ""; }

void add_line(json& item, std::string line) {
  if (!line.empty()) item["lines"].push_back(std::move(line));
}

std::string suppressed_by(report::Text suppression) {
  return suppression.empty() ? "" : "suppressed: " + printable(suppression);
}

/// "7 (/var/log/app.log)"
std::string describe_descriptor(const report::Object& one) {
  std::string text = fmt::format("descriptor {}", one.fd.value_or(-1));
  if (!one.target.empty()) text += ": " + printable(one.target);
  return text;
}

class Sections {
 public:
  Sections(const Report& report, PageStacks& stacks, const TextOptions& options)
      : report_(report), stacks_(stacks), options_(options) {}

  json all() {
    add_kernel_view();
    add_hints();
    add_failures();
    add_peak();
    add_misuse();
    add_exec_leaks();
    add_threads();
    add_goroutines();
    add_children();
    add_descriptors();
    add_untracked();
    add_suppressed();
    add_modules();
    return std::move(sections_);
  }

 private:
  void add_stack(json& item, std::string_view title, report::StackId stack, bool truncated) {
    if (stack) item["stacks"].push_back({title, stacks_.add(report_, stack), truncated ? 1 : 0});
  }

  /// Of a process that is not tracked.
  void add_kernel_view() {
    if (!is_kernel_view(report_)) return;
    Section section("kernel", "What the kernel knows");
    std::string text = render_kernel_view(report_, options_);
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size());
      size_t start = std::min(text.find_first_not_of(' ', at), end);
      if (start < end) section.add(text.substr(start, end - start));
      at = end + 1;
    }
    section.end(sections_);
  }

  void add_hints() {
    Section section("hints", "Hints");
    for (const report::Hint& hint : report_.hints)
      if (!hint.site) section.add(printable(hint.text));
    section.end(sections_);
  }

  void add_failures() {
    Section section("failures", "Calls that failed for lack of a resource");
    for (const report::Failure& one : report_.failures) {
      json& item = section.add(fmt::format("{} ({})", printable(one.function), printable(one.error)), times(one.count));
      std::string then =
          "first at " + printable(one.first) + ", " + write_duration(one.first_after_ns) + " after the process started";
      if (one.live_then) then += fmt::format("; {} held at the time", write_count(one.live_then));
      if (one.thread) then += fmt::format("; thread {}", one.thread);
      add_line(item, then);
      add_stack(item, "first failure", one.stack, one.truncated);
    }
    section.end(sections_);
  }

  void add_peak() {
    Section section("peak", "Who held most at the peak");
    if (const report::Site* most = find_peak(report_)) {
      json& item = section.add(fmt::format("{} from {}", describe_peak(*most), printable(most->acquired_by)));
      add_stack(item, "acquired", most->stack, most->truncated);
    }
    section.end(sections_);
  }

  void add_call(json& item, std::string_view title, const report::ClosingCall& call) {
    std::string text = fmt::format("{} by {} in thread {}", title, printable(call.function), call.thread);
    item["stacks"].push_back({text, stacks_.add(report_, call.stack), call.truncated ? 1 : 0});
  }

  void add_misuse() {
    Section section("misuse", "Invalid closes");
    std::vector<const report::Misuse*> all;
    for (const report::Misuse& one : report_.misuse) all.push_back(&one);
    std::stable_partition(all.begin(), all.end(), [](const auto* one) { return counts(*one); });
    for (const report::Misuse* one : all) {
      json& item = section.add(describe_misuse(*one), times(one->count));
      add_line(item, suppressed_by(one->suppressed_by));
      for (const auto& [title, call] : closing_calls(*one)) add_call(item, title, **call);
    }
    section.end(sections_);
  }

  void add_exec_leaks() {
    Section section("exec", "Descriptors that other programs inherited");
    for (const report::ExecLeak& one : report_.exec_leaks) {
      json& item =
          section.add(describe_exec_leak(one, options_) + " through " + printable(one.started_by), times(one.count));
      add_line(item, suppressed_by(one.suppressed_by));
      add_line(item, "opened by " + printable(one.acquired_by) + " without close-on-exec");
      add_stack(item, "opened", one.stack, one.truncated);
    }
    section.end(sections_);
  }

  void add_held(json& item, const report::List<report::Object>& descriptors, uint64_t omitted) {
    for (const report::Object& one : descriptors) add_line(item, describe_descriptor(one));
    if (omitted) add_line(item, fmt::format("and {}", write_number_of(omitted, "more descriptor")));
  }

  void add_threads() {
    Section section("threads", "Threads and what they hold");
    for (const report::Thread& one : report_.threads) {
      std::string name = one.name.empty() ? "" : fmt::format(" \"{}\"", printable(one.name));
      std::vector<std::string> holds;
      if (one.holds.fd) holds.push_back(write_number_of(one.holds.fd, "descriptor"));
      if (one.holds.heap_bytes > 0)
        holds.push_back(write_bytes(static_cast<uint64_t>(one.holds.heap_bytes)) + " of heap");
      std::string state = fmt::format("{}, {}", printable(one.thread_class), describe_state(one));
      if (one.state == "finished" || describe_state(one).starts_with(printable(one.thread_class)))
        state = describe_state(one);
      if (one.age_ns) state += ", started " + write_duration(*one.age_ns) + " ago";
      json& item = section.add(fmt::format("thread {}{} ({})", one.thread, name, state),
                               holds.empty() ? "" : "holds " + join(holds, " and "));
      if (std::string start = describe_function(report_, one.start_routine, options_); !start.empty())
        add_line(item, "started in " + start);
      if (one.created_by) add_line(item, fmt::format("created by thread {}", *one.created_by));
      if (one.stack) add_stack(item, "blocked at", *one.stack, one.truncated);
      add_held(item, one.holds.descriptors, one.holds.descriptors_omitted);
    }
    section.omit(report_.threads_omitted, "more thread");
    section.end(sections_);
  }

  void add_goroutines() {
    Section section("goroutines", "Goroutines and what they hold");
    for (const report::GoroutineGroup& one : report_.goroutines) {
      std::string state = printable(one.state);
      if (!one.wait_reason.empty()) state += ", " + printable(one.wait_reason);
      if (one.waiting_ns) state += ", for at least " + write_duration(*one.waiting_ns);
      bool is_one = one.count == 1 && !one.goroutines.empty();
      std::string who =
          is_one ? fmt::format("goroutine {}", one.goroutines[0].goroutine) : write_number_of(one.count, "goroutine");
      json& item = section.add(fmt::format("{} ({})", who, state),
                               one.fd ? "holding " + write_number_of(one.fd, "descriptor") : "");
      add_stack(item, "at", one.stack, one.truncated);
      add_stack(item, "started at", one.created_at, false);
      for (const report::Goroutine& member : one.goroutines) {
        for (const report::Object& held : member.descriptors)
          add_line(item, fmt::format("goroutine {}: {}", member.goroutine, describe_descriptor(held)));
        if (member.descriptors_omitted)
          add_line(item, fmt::format("goroutine {}: and {}", member.goroutine,
                                     write_number_of(member.descriptors_omitted, "more descriptor")));
      }
    }
    section.omit(report_.goroutines_omitted, "more group");
    section.end(sections_);
  }

  void add_children() {
    Section section("children", "Other children");
    for (const report::Child& one : report_.children) {
      std::string name = one.name.empty() ? "" : " " + printable(one.name);
      std::string more = printable(one.state) + ", " + printable(one.origin);
      if (one.age_ns) more += ", " + write_duration(*one.age_ns) + " old";
      section.add(fmt::format("process {}{}", one.process, name), more);
    }
    section.omit(report_.children_omitted, "more child");
    section.end(sections_);
  }

  /// Those that no stack is known for first.
  void add_descriptors() {
    Section section("descriptors", "Other open descriptors");
    for (bool unattributed : {true, false})
      for (const report::Descriptor& one : report_.descriptors) {
        if ((one.origin == "unattributed") != unattributed) continue;
        std::string origin = unattributed ? "not opened through a hooked function" : printable(one.origin);
        section.add(fmt::format("{}{}", one.fd, one.target.empty() ? "" : ": " + printable(one.target)), origin);
      }
    section.omit(report_.descriptors_omitted, "more descriptor");
    section.end(sections_);
  }

  void add_untracked() {
    Section section("untracked", "Programs that were not tracked");
    for (const report::UntrackedProgram& one : report_.untracked) {
      std::string more = times(one.count);
      if (one.allowed) more += more.empty() ? "allowed" : ", allowed";
      json& item = section.add(printable(one.program), more);
      add_line(item, printable(one.reason));
    }
    section.end(sections_);
  }

  void add_suppressed() {
    Section section("suppressed", "Suppressed");
    std::map<report::Text, std::pair<uint64_t, uint64_t>> covered;
    for (const report::Site& site : report_.sites) {
      if (site.suppressed_by.empty() || (!site.live && !site.running)) continue;
      auto& [sites, live] = covered[site.suppressed_by];
      ++sites;
      live += site.live;
    }
    for (const auto& [suppression, count] : covered)
      section.add(printable(suppression),
                  fmt::format("covers {} of {}", write_count(count.second), write_number_of(count.first, "stack")));
    section.end(sections_);
  }

  void add_modules() {
    Section section("modules", "Modules");
    for (const report::Module& one : report_.modules)
      section.add(printable(one.path), one.build_id.empty() ? "" : "build ID " + printable(one.build_id));
    section.end(sections_);
  }

  const Report& report_;
  PageStacks& stacks_;
  const TextOptions& options_;
  json sections_ = json::array();
};

}  // namespace

json page_sections(const Report& report, PageStacks& stacks, const TextOptions& options) {
  return Sections(report, stacks, options).all();
}

}  // namespace unfreed::render
