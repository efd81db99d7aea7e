// Prints the JSON Schema of reports, from describe.h. Run when the project is built; the result is installed.
#include <cstdio>

#include "report/describe.h"
#include "report/json_text.h"

using namespace unfreed::report;

namespace {

constexpr const char* kTitle = "unfreed report, schema version 2";
constexpr const char* kDescription =
    "What a process held, and which code acquired it. Sizes are in bytes. Times are integer nanoseconds (…_ns) or RFC "
    "3339 strings. Members whose value is unknown are absent. Later versions may add members.";

class Schema {
 public:
  explicit Schema(JsonText& json) : json_(json) {}

  /// An object's schema: its members, and which of them are always there.
  template <class T>
  void object(const T& value) {
    json_.member("type", "object");
    json_.key("properties").begin_object();
    describe(*this, value);
    json_.end_object();
    Required required{json_};
    json_.key("required").begin_array(Layout::compact);
    describe(required, value);
    json_.end_array();
  }

  template <class T>
  void member(Text name, const T& value, Presence, Text meaning, Words words = {}) {
    begin(name, meaning);
    if (name == "schema_version")
      json_.member("const", uint64_t{2});
    else
      type(value, words);
    json_.end_object();
  }
  void hash(Text name, uint64_t, Presence, Text meaning) {
    begin(name, meaning);
    json_.member("type", "string");
    json_.member("pattern", "^[0-9a-f]{16}$");
    json_.end_object();
  }
  template <class T>
  void stack(Text name, const T&, Presence, Text meaning) {
    begin(name, meaning);
    json_.member("$ref", "#/$defs/stack");
    json_.end_object();
  }
  void function(Text name, CallId, Presence, Text meaning) {
    begin(name, meaning);
    json_.member("$ref", "#/$defs/frame");
    json_.end_object();
  }
  void coverage(Text name, const Report&, Text meaning) {
    begin(name, meaning);
    json_.member("type", "object");
    json_.key("properties").begin_object();
    for (const SubjectRow& row : std::span(kSubjects).first(unfreed::ledger::kKindCount)) {
      json_.key(row.name).begin_object(Layout::compact);
      one_of(EnumWords<unfreed::ledger::Coverage>::kWords);
      json_.end_object();
    }
    json_.end_object();
    required([](Subject subject) { return index_of(subject) < unfreed::ledger::kKindCount; });
    json_.end_object();
  }
  void totals(Text name, const Report&, Text meaning) {
    by_subject(name, meaning, [](const CounterRow& row) { return row.in_totals; });
  }
  void worst_sites(Text name, const Report&, Text meaning) {
    by_subject(name, meaning, [](const CounterRow& row) { return row.in_site_rules; });
  }
  void stacks(Text name, const Report&) {
    begin(name,
          "The table of stacks, in reports with many of them: members that are stacks then hold numbers. Stack n, "
          "counted "
          "from 1, is the call calls[call[n - 1] - 1], followed by stack caller[n - 1], which is less than n; 0: no "
          "caller.");
    json_.member("type", "object");
    json_.key("properties").begin_object();
    json_.key("calls").begin_object();
    json_.member("description", "The frames of one call: functions inlined into it first, the function itself last.");
    json_.member("type", "array");
    json_.key("items").begin_object(Layout::compact);
    list_of_frames();
    json_.end_object();
    json_.end_object();
    for (Text numbers : {"call", "caller"}) {
      json_.key(numbers).begin_object(Layout::compact);
      json_.member("type", "array");
      json_.key("items").begin_object();
      count();
      json_.end_object();
      json_.end_object();
    }
    json_.end_object();
    json_.key("required").begin_array(Layout::compact);
    for (Text each : {"calls", "call", "caller"}) json_.value(each);
    json_.end_array();
    json_.end_object();
  }

  void definitions() {
    json_.key("$defs").begin_object();
    json_.key("frame").begin_object();
    json_.member("type", "object");
    json_.key("properties").begin_object();
    for (Text text : {"function", "file"}) {
      json_.key(text).begin_object(Layout::compact);
      json_.member("type", "string");
      json_.member("minLength", uint64_t{1});
      json_.end_object();
    }
    begin("line", "");
    count();
    json_.end_object();
    begin("module", "Path, or [unknown].");
    json_.member("type", "string");
    json_.end_object();
    begin("build_id", "Hexadecimal.");
    json_.member("type", "string");
    json_.member("pattern", "^([0-9a-f]{2})+$");
    json_.end_object();
    begin("offset",
          "Inside the calling instruction, in the module's own addresses; the process's address where the module is "
          "[unknown].");
    count();
    json_.end_object();
    begin("inlined", "Inlined into the next frame.");
    json_.member("type", "boolean");
    json_.end_object();
    json_.end_object();
    json_.key("required").begin_array(Layout::compact);
    for (Text each : {"module", "offset", "inlined"}) json_.value(each);
    json_.end_array();
    json_.end_object();
    json_.key("stack").begin_object();
    json_.member("description", "Frames, innermost first; or the number of a stack in `stacks`, 0 for none.");
    json_.key("anyOf").begin_array(Layout::compact);
    json_.begin_object();
    list_of_frames();
    json_.end_object();
    json_.begin_object();
    count();
    json_.end_object();
    json_.end_array();
    json_.end_object();
    json_.end_object();
  }

 private:
  /// Names the members that are always there.
  struct Required {
    JsonText& json;
    void add(Text name, Presence presence) {
      if (presence == Presence::always) json.value(name);
    }
    template <class T>
    void member(Text name, const T&, Presence presence, Text, Words = {}) {
      add(name, presence);
    }
    void hash(Text name, uint64_t, Presence presence, Text) { add(name, presence); }
    template <class T>
    void stack(Text name, const T&, Presence presence, Text) {
      add(name, presence);
    }
    void function(Text name, CallId, Presence presence, Text) { add(name, presence); }
    void coverage(Text name, const Report&, Text) { json.value(name); }
    void totals(Text name, const Report&, Text) { json.value(name); }
    void worst_sites(Text name, const Report&, Text) { json.value(name); }
    void stacks(Text, const Report&) {}
  };

  void begin(Text name, Text meaning) {
    json_.key(name).begin_object(Layout::compact);
    if (!meaning.empty()) json_.member("description", meaning);
  }
  void count() {
    json_.member("type", "integer");
    json_.member("minimum", uint64_t{0});
  }
  void list_of_frames() {
    json_.member("type", "array");
    json_.key("items").begin_object(Layout::compact);
    json_.member("$ref", "#/$defs/frame");
    json_.end_object();
  }
  void one_of(Words words) {
    json_.key("enum").begin_array(Layout::compact);
    for (Text word : words) json_.value(word);
    json_.end_array();
  }
  template <class Choose>
  void required(Choose choose) {
    json_.key("required").begin_array(Layout::compact);
    for (size_t at = 0; at < kSubjectCount; ++at)
      if (choose(static_cast<Subject>(at))) json_.value(kSubjects[at].name);
    json_.end_array();
  }
  template <class Which>
  void by_subject(Text name, Text meaning, Which which) {
    begin(name, meaning);
    json_.member("type", "object");
    json_.key("properties").begin_object();
    for (size_t at = 0; at < kSubjectCount; ++at) {
      bool has_any = false;
      for (const CounterRow& row : kRows) has_any = has_any || (which(row) >> at & 1);
      if (!has_any) continue;
      json_.key(kSubjects[at].name).begin_object();
      json_.member("type", "object");
      json_.key("properties").begin_object();
      for (const CounterRow& row : kRows) {
        if (!(which(row) >> at & 1)) continue;
        begin(row.name, row.meaning);
        count();
        json_.end_object();
      }
      json_.end_object();
      json_.key("required").begin_array(Layout::compact);
      for (const CounterRow& row : kRows)
        if ((which(row) >> at & 1) && row.presence == Presence::always) json_.value(row.name);
      json_.end_array();
      json_.end_object();
    }
    json_.end_object();
    json_.end_object();
  }

  template <class T>
  void type(const T& value, Words words) {
    if constexpr (std::is_same_v<T, bool>) {
      json_.member("type", "boolean");
    } else if constexpr (std::is_enum_v<T>) {
      one_of(EnumWords<T>::kWords);
    } else if constexpr (std::is_same_v<T, Text>) {
      json_.member("type", "string");
      if (!words.empty()) one_of(words);
    } else if constexpr (std::is_unsigned_v<T>) {
      count();
    } else if constexpr (std::is_arithmetic_v<T>) {
      json_.member("type", "integer");
    } else if constexpr (requires { value.has_value(); }) {
      type(typename T::value_type{}, words);
    } else {
      object(value);
    }
  }
  template <class T>
  void type(const List<T>&, Words words) {
    json_.member("type", "array");
    json_.key("items").begin_object();
    type(T{}, words);
    json_.end_object();
  }

  JsonText& json_;
};

}  // namespace

int main() {
  static char buffer[kJsonBufferBytes];
  JsonText json({nullptr,
                 [](void*, std::string_view piece) {
                   return std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();
                 }},
                buffer);
  Schema schema(json);
  json.begin_object();
  json.member("$schema", "https://json-schema.org/draft/2020-12/schema");
  json.member("$id", "https://unfreed.invalid/report-2.schema.json");
  json.member("title", kTitle);
  json.member("description", kDescription);
  schema.object(Report{});
  schema.definitions();
  json.end_object();
  return json.finish() ? 0 : 1;
}
