#include "report/json_writer.h"

#include <type_traits>

#include "report/describe.h"
#include "report/json_text.h"

namespace unfreed::report {

namespace {

/// A report with so many stacks is still read by eye: each stands in its place.
constexpr size_t kMostListedStacks = 100;

size_t stack_count(const Report& report) {
  return size_t{report.sites.size()} + report.threads.size() + 3 * size_t{report.misuse.size()} +
         report.exec_leaks.size() + report.failures.size();
}

class Writer {
 public:
  Writer(const Report& report, bool has_table, JsonText& json) : report_(report), has_table_(has_table), json_(json) {}

  template <class T>
  void member(Text name, const T& value, Presence presence, Text = {}, Words = {}) {
    if (presence == Presence::if_set && !is_set(value)) return;
    json_.key(name);
    write(value);
  }
  void hash(Text name, uint64_t value, Presence, Text) { json_.key(name).hash_value(value); }
  void stack(Text name, StackId stack, Presence, Text) {
    json_.key(name);
    has_table_ ? json_.value(uint64_t{stack}) : write_stack(stack);
  }
  void stack(Text name, const std::optional<StackId>& one, Presence presence, Text meaning) {
    if (one) stack(name, *one, presence, meaning);
  }
  void function(Text name, CallId call, Presence, Text) {
    if (!call || call > report_.stacks.calls.size()) return;
    const Call& found = report_.stacks.calls[call - 1];
    json_.key(name);
    if (found.frames.empty())
      write_frame(found, nullptr);
    else  // the last frame is the function itself; what is inlined into it has no place in a single frame
      write_frame(found, &found.frames[found.frames.size() - 1]);
  }
  void coverage(Text name, const Report& report, Text) {
    json_.key(name).begin_object(Layout::compact);
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
      json_.member(kSubjects[kind].name, word_of(report.coverage[kind]));
    json_.end_object();
  }
  void totals(Text name, const Report& report, Text) {
    json_.key(name).begin_object();
    for (size_t at = 0; at < kSubjectCount; ++at) {
      auto subject = static_cast<Subject>(at);
      const Totals* totals = report.totals_of(subject);
      if (!totals) continue;
      json_.key(row_of(subject).name).begin_object(Layout::compact);
      Totals::each_of(subject, [&](Counter counter, const CounterRow& row) {
        if (row.presence == Presence::always || (*totals)[counter]) json_.member(row.name, (*totals)[counter]);
      });
      json_.end_object();
    }
    json_.end_object();
  }
  void worst_sites(Text name, const Report& report, Text) {
    json_.key(name).begin_object();
    for (size_t at = 0; at < kSubjectCount; ++at) {
      auto subject = static_cast<Subject>(at);
      bool has_any = false;
      for (const CounterRow& row : kRows) has_any |= (row.in_site_rules & bit_of(subject)) != 0;
      if (!has_any || !report.totals_of(subject)) continue;
      json_.key(row_of(subject).name).begin_object(Layout::compact);
      for (size_t counter = 0; counter < kCounterCount; ++counter)
        if (kRows[counter].in_site_rules & bit_of(subject))
          json_.member(kRows[counter].name, report.worst_site[at][static_cast<Counter>(counter)]);
      json_.end_object();
    }
    json_.end_object();
  }
  void stacks(Text name, const Report& report) {
    if (!has_table_) return;
    json_.key(name).begin_object();
    json_.key("calls").begin_array();
    for (const Call& call : report.stacks.calls) {
      json_.begin_array(Layout::compact);
      write_frames(call);
      json_.end_array();
    }
    json_.end_array();
    json_.key("call").begin_array(Layout::compact);
    for (const Node& node : report.stacks.nodes) json_.value(node.call);
    json_.end_array();
    json_.key("caller").begin_array(Layout::compact);
    for (const Node& node : report.stacks.nodes) json_.value(node.caller);
    json_.end_array();
    json_.end_object();
  }

 private:
  template <class T>
  static bool is_set(const T& value) {
    if constexpr (std::is_arithmetic_v<T>)
      return value != T{};
    else if constexpr (requires { value.has_value(); })
      return value.has_value();
    else if constexpr (requires { value.empty(); })
      return !value.empty();
    else
      return true;
  }

  template <class T>
  void write(const T& value) {
    if constexpr (std::is_enum_v<T>)
      json_.value(word_of(value));
    else if constexpr (std::is_same_v<T, Text> || std::is_arithmetic_v<T>)
      json_.value(value);
    else if constexpr (requires { value.has_value(); })
      write(*value);
    else {
      // With its stack elsewhere a site fits on a line.
      bool is_compact = kIsCompact<T> || (std::is_same_v<T, Site> && has_table_);
      json_.begin_object(is_compact ? Layout::compact : Layout::lines);
      describe(*this, value);
      json_.end_object();
    }
  }
  template <class T>
  void write(const List<T>& list) {
    json_.begin_array(std::is_same_v<T, Text> && list.size() < 16 ? Layout::compact : Layout::lines);
    for (const T& one : list) {
      if (json_.failed()) break;
      write(one);
    }
    json_.end_array();
  }

  void write_stack(StackId stack) {
    json_.begin_array();
    report_.stacks.each_call(stack, [this](const Call& call) { write_frames(call); });
    json_.end_array();
  }
  void write_frames(const Call& call) {
    if (call.frames.empty()) write_frame(call, nullptr);
    for (const Frame& frame : call.frames) write_frame(call, &frame);
  }
  void write_frame(const Call& call, const Frame* frame) {
    json_.begin_object(Layout::compact);
    if (frame) {
      Text function = frame->function.empty() ? frame->linkage_name : frame->function;
      if (!function.empty()) json_.member("function", function);
      if (!frame->file.empty()) json_.member("file", frame->file);
      if (frame->line && !frame->file.empty()) json_.member("line", frame->line);
    }
    json_.member("module", call.module.empty() ? kUnknownModule : call.module);
    if (!call.build_id.empty()) json_.member("build_id", call.build_id);
    json_.member("offset", call.offset);
    json_.member("inlined", frame && frame->inlined);
    json_.end_object();
  }

  const Report& report_;
  bool has_table_;
  JsonText& json_;
};

}  // namespace

bool write_json(const Report& report, StackForm form, std::span<char> buffer, const Sink& sink) {
  JsonText json(sink, buffer);
  Writer writer(report, form == StackForm::file && stack_count(report) > kMostListedStacks, json);
  json.begin_object();
  describe(writer, report);
  json.end_object();
  return json.finish();
}

}  // namespace unfreed::report
