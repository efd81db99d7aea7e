#include "render/read_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "evaluate/places.h"
#include "report/describe.h"

namespace unfreed::render {

namespace {

using Json = nlohmann::json;
using report::Call;
using report::CallId;
using report::Frame;
using report::List;
using report::Node;
using report::Presence;
using report::Report;
using report::StackId;
using report::Text;
using report::Words;

/// Reports nest eight deep. A text that nests deeper than this could overflow the reader's stack.
constexpr int kDeepest = 64;

bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (size_t at = 0; at < text.size(); ++at) {
    char character = text[at];
    if (in_text) {
      if (character == '\\') ++at;
      if (character == '"') in_text = false;
    } else if (character == '"') {
      in_text = true;
    } else if (character == '{' || character == '[') {
      if (++depth > kDeepest) return true;
    } else if (character == '}' || character == ']') {
      --depth;
    }
  }
  return false;
}

/// What is wrong with a value: where it stands is added on the way out.
struct Fault {
  std::string place;
  std::string what;
};
[[noreturn]] void fault(std::string what) { throw Fault{"", std::move(what)}; }

/// Does `work`, and puts `place` before that of a fault in it.
template <class Work>
void at_place(std::string_view place, Work work) {
  try {
    work();
  } catch (Fault& one) {
    bool needs_dot = !one.place.empty() && one.place.front() != '[';
    one.place = fmt::format("{}{}{}", place, needs_dot ? "." : "", one.place);
    throw;
  }
}

/// Throws where memory is missing: a report that is half read is of no use.
template <class T>
T* added(List<T>& list, base::Arena& arena) {
  T* place = list.add(arena);
  if (!place) throw std::bad_alloc();
  return place;
}

class Reader {
 public:
  Reader(base::Arena& arena, Report& out) : arena_(arena), out_(out) {}

  void read_report(const Json& from) {
    read_stacks(from);
    object_ = &from;
    describe(*this, out_);
    out_.rules_asked = out_.rules.size();
    bool has_worst = from.contains("worst_site");
    has_worst ? report::group_places(out_, arena_) : report::regroup_places(out_, arena_);
  }

  template <class T>
  void member(Text name, T& value, Presence presence, Text = {}, Words = {}) {
    auto found = object_->find(name);
    bool is_absent = found == object_->end() || (found->is_null() && presence == Presence::if_set);
    if (!is_absent) at_place(name, [&] { read(*found, value); });
  }
  void hash(Text name, uint64_t& value, Presence, Text) {
    const Json* found = find(name);
    if (!found) return;
    at_place(name, [&] {
      if (!found->is_string()) fault("is not a text");
      const auto& digits = found->get_ref<const std::string&>();
      if (digits.size() != 16 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
        fault("is not 16 hexadecimal digits");
      value = std::strtoull(digits.c_str(), nullptr, 16);
    });
  }
  void stack(Text name, StackId& value, Presence, Text) {
    const Json* found = find(name);
    if (found) at_place(name, [&] { value = read_stack(*found); });
  }
  void stack(Text name, std::optional<StackId>& value, Presence, Text) {
    const Json* found = find(name);
    if (found) at_place(name, [&] { value = read_stack(*found); });
  }
  void function(Text name, CallId& value, Presence, Text) {
    const Json* found = find(name);
    if (found) at_place(name, [&] { value = enter_call(std::span(found, 1)); });
  }
  void coverage(Text name, Report& report, Text) {
    const Json* found = find(name);
    if (!found) return;
    at_place(name, [&] {
      for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
        if (const Json* one = find_in(*found, report::kSubjects[kind].name))
          at_place(report::kSubjects[kind].name, [&] { read(*one, report.coverage[kind]); });
    });
  }
  void totals(Text name, Report& report, Text) {
    each_subject(name, [&](size_t subject, const Json& from) { read_totals(from, report.totals[subject].emplace()); });
  }
  void worst_sites(Text name, Report& report, Text) {
    each_subject(name, [&](size_t subject, const Json& from) { read_totals(from, report.worst_site[subject]); });
  }
  void stacks(Text, Report&) {}  // read before all that refers to them

 private:
  const Json* find_in(const Json& object, Text name) const {
    if (!object.is_object()) fault("is not an object");
    auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  const Json* find(Text name) const { return find_in(*object_, name); }  ///< nullptr for null, too

  void read(const Json& from, Text& value) {
    if (!from.is_string()) fault("is not a text");
    const auto& text = from.get_ref<const std::string&>();
    value = arena_.copy(text);
    if (value.size() != text.size()) throw std::bad_alloc();
  }
  void read(const Json& from, bool& value) {
    if (!from.is_boolean()) fault("is neither true nor false");
    value = from.get<bool>();
  }
  void read(const Json& from, uint64_t& value) {
    if (!from.is_number_unsigned()) fault("is not a non-negative whole number");
    value = from.get<uint64_t>();
  }
  void read(const Json& from, uint32_t& value) {
    uint64_t wide = 0;
    read(from, wide);
    if (wide > UINT32_MAX) fault("is too large a number");
    value = static_cast<uint32_t>(wide);
  }
  void read(const Json& from, int64_t& value) {
    bool fits = from.is_number_integer() &&
                (!from.is_number_unsigned() || from.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
    if (!fits) fault("is not a whole number");
    value = from.get<int64_t>();
  }
  template <class T>
  requires std::is_enum_v<T>
  void read(const Json& from, T& value) {
    if (!from.is_string()) fault("is not a text");
    const auto& text = from.get_ref<const std::string&>();
    const auto& words = report::EnumWords<T>::kWords;
    auto found = std::find(std::begin(words), std::end(words), text);
    if (found == std::end(words)) fault(fmt::format("is not one of {}", fmt::join(words, ", ")));
    value = static_cast<T>(found - std::begin(words));
  }
  template <class T>
  void read(const Json& from, std::optional<T>& value) {
    read(from, value.emplace());
  }
  template <class T>
  void read(const Json& from, List<T>& list) {
    if (!from.is_array()) fault("is not a list");
    if (!from.empty() && !list.reserve(arena_, from.size())) throw std::bad_alloc();
    for (const Json& one : from) at_place(fmt::format("[{}]", list.size()), [&] { read(one, *added(list, arena_)); });
  }
  void read(const Json& from, List<report::PastCount>& list) {
    // What was recorded of it, its beginning and its lowest number.
    constexpr size_t kMost = ledger::kHistorySamples + 2;
    if (from.is_array() && from.size() > kMost) fault(fmt::format("has more than {} entries", kMost));
    read<report::PastCount>(from, list);
  }
  template <class T>
  requires std::is_class_v<T>
  void read(const Json& from, T& value) {
    if (!from.is_object()) fault("is not an object");
    const Json* outer = std::exchange(object_, &from);
    describe(*this, value);
    object_ = outer;
  }

  template <class Read>
  void each_subject(Text name, Read read) {
    const Json* found = find(name);
    if (!found) return;
    at_place(name, [&] {
      for (size_t at = 0; at < report::kSubjectCount; ++at)
        if (const Json* one = find_in(*found, report::kSubjects[at].name))
          at_place(report::kSubjects[at].name, [&] { read(at, *one); });
    });
  }
  void read_totals(const Json& from, report::Totals& totals) {
    for (size_t at = 0; at < report::kCounterCount; ++at)
      if (const Json* one = find_in(from, report::kRows[at].name))
        at_place(report::kRows[at].name, [&] { read(*one, totals[static_cast<report::Counter>(at)]); });
  }

  // ---- stacks ----

  struct WrittenFrame {
    Frame frame;
    Text module;
    Text build_id;
    uint64_t offset = 0;
  };
  WrittenFrame read_frame(const Json& from) {
    WrittenFrame written;
    if (!from.is_object()) fault("is not a frame");
    const Json* outer = std::exchange(object_, &from);
    member("function", written.frame.function, Presence::if_set);
    member("file", written.frame.file, Presence::if_set);
    member("line", written.frame.line, Presence::if_set);
    member("module", written.module, Presence::always);
    member("build_id", written.build_id, Presence::if_set);
    member("offset", written.offset, Presence::always);
    member("inlined", written.frame.inlined, Presence::always);
    object_ = outer;
    if (written.module == report::kUnknownModule) written.module = {};
    return written;
  }

  /// One function, after those that are inlined into it.
  Call read_call(std::span<const Json> from) {
    Call call;
    for (const Json& one : from) {
      WrittenFrame written = read_frame(one);
      call.module = written.module;
      call.build_id = written.build_id;
      call.offset = written.offset;
      bool is_known = !written.frame.function.empty() || !written.frame.file.empty();
      if (is_known || from.size() > 1) *added(call.frames, arena_) = written.frame;
    }
    return call;
  }

  /// Calls and stacks that are listed in place are put into the tables, each once.
  CallId enter_call(std::span<const Json> from) {
    Call call = read_call(from);
    std::string key = fmt::format("{}\n{}\n{}", call.module, call.build_id, call.offset);
    for (const Frame& frame : call.frames)
      key += fmt::format("\n{}\n{}\n{}\n{}", frame.function, frame.file, frame.line, frame.inlined);
    auto [place, is_new] = known_calls_.try_emplace(std::move(key), 0);
    if (is_new) {
      *added(out_.stacks.calls, arena_) = call;
      place->second = out_.stacks.calls.size();
    }
    return place->second;
  }

  StackId read_stack(const Json& from) {
    if (from.is_number()) {
      StackId number = 0;
      read(from, number);
      if (number > out_.stacks.nodes.size()) fault("is not the number of a stack");
      return number;
    }
    if (!from.is_array()) fault("is not a list of frames");
    std::vector<CallId> calls;  // innermost first
    for (size_t first = 0; first < from.size();) {
      size_t last = first;
      auto is_inlined = [&](size_t at) {
        return from[at].is_object() && from[at].contains("inlined") && from[at]["inlined"] == true;
      };
      while (last + 1 < from.size() && is_inlined(last)) ++last;
      at_place(fmt::format("[{}]", first),
               [&] { calls.push_back(enter_call(std::span(&from[first], last - first + 1))); });
      first = last + 1;
    }
    StackId stack = 0;
    for (size_t at = calls.size(); at-- > 0;) {
      uint64_t key = uint64_t{calls[at]} << 32 | stack;
      auto [place, is_new] = known_nodes_.try_emplace(key, 0);
      if (is_new) {
        *added(out_.stacks.nodes, arena_) = {calls[at], stack};
        place->second = out_.stacks.nodes.size();
      }
      stack = place->second;
    }
    return stack;
  }

  void read_stacks(const Json& from) {
    const Json* table = find_in(from, "stacks");
    if (!table) return;
    at_place("stacks", [&] {
      const Json* calls = find_in(*table, "calls");
      const Json* call = find_in(*table, "call");
      const Json* caller = find_in(*table, "caller");
      if (!calls || !call || !caller || !calls->is_array() || !call->is_array() || !caller->is_array() ||
          call->size() != caller->size())
        fault("does not have three lists: calls, and call and caller of equal length");
      for (const Json& one : *calls)
        at_place(fmt::format("calls[{}]", out_.stacks.calls.size()), [&] {
          if (!one.is_array() || one.empty()) fault("is not a list of frames");
          *added(out_.stacks.calls, arena_) = read_call(std::span(&one[0], one.size()));
        });
      for (size_t at = 0; at < call->size(); ++at) {
        Node node;
        at_place(fmt::format("call[{}]", at), [&] { read((*call)[at], node.call); });
        at_place(fmt::format("caller[{}]", at), [&] { read((*caller)[at], node.caller); });
        if (node.call == 0 || node.call > out_.stacks.calls.size() || node.caller > at)
          fault(fmt::format("has an invalid reference at {}", at));
        *added(out_.stacks.nodes, arena_) = node;
      }
    });
  }

  base::Arena& arena_;
  Report& out_;
  const Json* object_ = nullptr;
  std::unordered_map<std::string, CallId> known_calls_;
  std::unordered_map<uint64_t, StackId> known_nodes_;
};

/// Empty: `error` says why.
std::optional<Json> parse(std::string_view text, std::string& error) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    error = "is empty";
    return {};
  }
  if (is_too_deep(text)) {
    error = "is not a report: it is nested too deeply";
    return {};
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& problem) {
    size_t at = std::min(problem.byte ? problem.byte - 1 : 0, text.size());
    size_t line = 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'));
    bool cut = at >= text.size();
    error = fmt::format("is neither a JSON report nor a ledger: {} at line {} (byte {})",
                        cut ? "it ends too early" : "unexpected text", line, at);
  } catch (const Json::exception&) {
    error = "is not JSON that can be read (a number or a text in it is out of bounds)";
  }
  return {};
}

}  // namespace

bool read_json(std::string_view text, base::Arena& arena, Report& out, std::string& error) {
  std::optional<Json> json = parse(text, error);
  if (!json) return false;
  if (!json->is_object() || !json->contains("schema_version") || !(*json)["schema_version"].is_number_integer()) {
    error = "is not a report: it has no schema_version";
    return false;
  }
  if ((*json)["schema_version"] != kSchemaVersion) {
    error =
        fmt::format("has schema_version {}, this program reads {}", (*json)["schema_version"].dump(), kSchemaVersion);
    return false;
  }
  out = Report{};
  try {
    Reader(arena, out).read_report(*json);
  } catch (const Fault& one) {
    error = fmt::format("is not a report: {} {}", one.place, one.what);
    return false;
  }
  return true;
}

}  // namespace unfreed::render
