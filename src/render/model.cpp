#include "render/model.h"

#include <algorithm>
#include <unordered_map>

#include "render/json_input.h"

namespace unfreed::render {

namespace {

Frame read_frame(const Json& from) {
  Frame frame;
  frame.function = text_member(from, "function");
  frame.file = text_member(from, "file");
  frame.module = text_member(from, "module");
  frame.build_id = text_member(from, "build_id");
  frame.line = static_cast<uint32_t>(std::min<uint64_t>(count_member(from, "line"), UINT32_MAX));
  frame.offset = count_member(from, "offset");
  frame.inlined = flag_member(from, "inlined", false);
  return frame;
}

std::vector<Frame> read_stack(const Json& from) {
  std::vector<Frame> stack;
  if (from.is_array())
    for (const Json& frame : from) stack.push_back(read_frame(frame));
  return stack;
}

std::optional<uint64_t> optional_count(const Json& from, const char* key) {
  if (!member(from, key).is_number_integer()) return {};
  return count_member(from, key);
}

Object read_object(const Json& from) {
  Object object;
  object.fd = integer_member(from, "fd");
  object.thread = integer_member(from, "thread");
  object.process = integer_member(from, "process");
  object.age_ns = optional_count(from, "age_ns");
  object.target = text_member(from, "target");
  object.name = text_member(from, "name");
  object.state = text_member(from, "state");
  return object;
}

std::vector<Object> read_objects(const Json& from) {
  std::vector<Object> objects;
  if (from.is_array())
    for (const Json& object : from) objects.push_back(read_object(object));
  return objects;
}

Site read_site(const Json& from) {
  Site site;
  const Json& id = member(from, "id");
  site.id = id.is_string() ? id.get<std::string>() : id.is_null() ? "" : id.dump();
  site.kind = text_member(from, "kind");
  site.signature = text_member(from, "signature");
  site.grade = text_member(from, "grade");
  site.acquired_by = text_member(from, "acquired_by");
  site.suppressed_by = text_member(from, "suppressed_by");
  site.owner = text_member(from, "owner");
  site.live = count_member(from, "live");
  site.running = count_member(from, "running");
  site.bytes = count_member(from, "bytes");
  site.total = count_member(from, "total");
  site.total_bytes = count_member(from, "total_bytes");
  site.peak = count_member(from, "peak");
  site.truncated = flag_member(from, "truncated", false);
  site.stack = read_stack(member(from, "stack"));
  site.outer_stack = outer_stack_of(from);
  site.objects = read_objects(member(from, "objects"));
  return site;
}

Failure read_failure(const Json& from) {
  Failure failure;
  failure.function = text_member(from, "door");
  failure.error = text_member(from, "error");
  failure.count = count_member(from, "count");
  failure.live_then = count_member(from, "live_then");
  failure.thread = integer_member(from, "thread").value_or(0);
  failure.stack = read_stack(member(from, "stack"));
  return failure;
}

Thread read_thread(const Json& from) {
  Thread thread;
  thread.id = integer_member(from, "thread").value_or(0);
  thread.name = text_member(from, "name");
  thread.thread_class = text_member(from, "class");
  thread.state = text_member(from, "state");
  thread.kernel_state = text_member(from, "kernel_state");
  thread.start_routine = text_member(member(from, "start_routine"), "function");
  thread.stack = read_stack(member(from, "stack"));
  const Json& holds = member(from, "holds");
  thread.held_fds = count_member(holds, "fd");
  thread.held_heap_bytes = integer_member(holds, "heap_bytes").value_or(0);
  thread.descriptors = read_objects(member(holds, "descriptors"));
  return thread;
}

std::optional<Place> read_place(const Json& from) {
  if (!from.is_object()) return {};
  return Place{text_member(from, "function"), integer_member(from, "thread").value_or(0),
               read_stack(member(from, "stack"))};
}

Misuse read_misuse(const Json& from) {
  Misuse misuse;
  misuse.type = text_member(from, "type");
  misuse.owner = text_member(from, "owner");
  misuse.suppressed_by = text_member(from, "suppressed_by");
  misuse.count = count_member(from, "count");
  misuse.fd = integer_member(from, "fd").value_or(-1);
  misuse.opened = read_place(member(from, "opened"));
  misuse.first_closed = read_place(member(from, "first_closed"));
  misuse.closed = read_place(member(from, "closed"));
  return misuse;
}

Crossing read_crossing(const Json& from) {
  Crossing crossing;
  crossing.fd = integer_member(from, "fd").value_or(-1);
  crossing.count = count_member(from, "count");
  crossing.program = text_member(from, "program");
  crossing.started_by = text_member(from, "started_by");
  crossing.acquired_by = text_member(from, "acquired_by");
  crossing.suppressed_by = text_member(from, "suppressed_by");
  crossing.stack = read_stack(member(from, "stack"));
  return crossing;
}

Process read_process(const Json& from) {
  Process process;
  process.pid = integer_member(from, "pid").value_or(0);
  process.ppid = integer_member(from, "ppid").value_or(0);
  process.exe = text_member(from, "exe");
  process.started = text_member(from, "started");
  process.duration_ns = optional_count(from, "duration_ns");
  process.exit_status = integer_member(from, "exit_status");
  const Json& signal = member(from, "signal");
  if (signal.is_string()) process.signal = signal.get<std::string>();
  if (signal.is_number_integer()) process.signal = signal.dump();
  process.signal_name = text_member(from, "signal_name");
  const Json& argv = member(from, "argv");
  if (argv.is_array())
    for (const Json& word : argv)
      if (word.is_string()) process.argv.push_back(word.get<std::string>());
  return process;
}

Descriptor read_descriptor(const Json& from) {
  Descriptor descriptor;
  descriptor.fd = integer_member(from, "fd").value_or(-1);
  descriptor.origin = text_member(from, "origin");
  descriptor.target = text_member(from, "target");
  return descriptor;
}

RuleOutcome read_rule(const Json& from) {
  RuleOutcome outcome;
  outcome.rule = text_member(from, "rule");
  outcome.value = optional_count(from, "value");
  outcome.broken = flag_member(from, "broken", false);
  outcome.checked = outcome.value.has_value();
  outcome.reason = text_member(from, "unchecked");
  return outcome;
}

void read_totals(const Json& from, Report& report) {
  if (!from.is_object()) return;
  for (const auto& [kind, fields] : from.items()) {
    KindTotals totals{kind, {}};
    if (fields.is_object())
      for (const auto& [name, value] : fields.items())
        if (value.is_number_integer()) totals.counters.emplace_back(name, count_member(fields, name.c_str()));
    report.totals.push_back(std::move(totals));
  }
}

}  // namespace

uint32_t outer_stack_of(const Json& site) {
  return static_cast<uint32_t>(std::min<uint64_t>(count_member(site, "outer_stack"), UINT32_MAX));
}

OuterStacks read_outer_stacks(const Json& report) {
  OuterStacks stacks;
  const Json& from = member(report, "outer_stacks");
  const Json& calls = member(from, "calls");
  const Json& call = member(from, "call");
  const Json& outer = member(from, "outer");
  if (!calls.is_array() || !call.is_array() || !outer.is_array()) return stacks;
  for (const Json& one : calls) stacks.calls.push_back(read_stack(one));
  auto number_at = [](const Json& list, size_t at) {
    uint64_t number = list[at].is_number_unsigned() ? list[at].get<uint64_t>() : UINT32_MAX;
    return static_cast<uint32_t>(std::min<uint64_t>(number, UINT32_MAX));
  };
  for (size_t at = 0; at < std::min(call.size(), outer.size()); ++at)
    stacks.nodes.push_back({number_at(call, at), number_at(outer, at)});
  return stacks;
}

uint64_t KindTotals::value(std::string_view field) const {
  for (const auto& [name, count] : counters)
    if (name == field) return count;
  return 0;
}

std::vector<Frame> MergedSite::whole_stack() const {
  std::vector<Frame> stack = site.stack;
  outer_stacks->each_node(site.outer_stack, [&](const OuterStacks::Node& node) {
    const std::vector<Frame>& call = outer_stacks->calls[node.call];
    stack.insert(stack.end(), call.begin(), call.end());
  });
  return stack;
}

const KindTotals* Report::totals_of(std::string_view kind) const {
  for (const KindTotals& one : totals)
    if (one.kind == kind) return &one;
  return nullptr;
}

std::string_view Report::coverage_of(std::string_view kind) const {
  for (const auto& [name, how] : coverage)
    if (name == kind) return how;
  return {};
}

Report to_report(const Json& json) {
  Report report;
  report.trigger = text_member(json, "trigger");
  report.complete = flag_member(json, "complete", true);
  report.reconciled = flag_member(json, "reconciled", false);
  report.process = read_process(member(json, "process"));
  for (const Json& note : member(json, "notes"))
    if (note.is_string()) report.notes.push_back(note.get<std::string>());
  const Json& coverage = member(json, "coverage");
  if (coverage.is_object())
    for (const auto& [kind, how] : coverage.items())
      if (how.is_string()) report.coverage.emplace_back(kind, how.get<std::string>());
  read_totals(member(json, "totals"), report);
  for (const Json& site : member(json, "sites")) report.sites.push_back(read_site(site));
  report.outer_stacks = read_outer_stacks(json);
  report.sites_omitted = count_member(json, "sites_omitted");
  for (const Json& one : member(json, "descriptors")) report.descriptors.push_back(read_descriptor(one));
  for (const Json& one : member(json, "threads")) report.threads.push_back(read_thread(one));
  for (const Json& one : member(json, "misuse")) report.misuses.push_back(read_misuse(one));
  for (const Json& one : member(json, "inherited_by_child")) report.crossings.push_back(read_crossing(one));
  if (const Json& reason = member(json, "exhaustion"); reason.is_object())
    report.exhaustion = text_member(reason, "door") + ": " + text_member(reason, "error");
  for (const Json& failure : member(json, "failures")) report.failures.push_back(read_failure(failure));
  for (const Json& rule : member(json, "rules")) report.rules.push_back(read_rule(rule));
  return report;
}

std::optional<Report> parse_report(std::string_view text, std::string& error) {
  std::optional<Json> json = read_report_json(text, error);
  if (!json) return {};
  return to_report(*json);
}

std::vector<MergedSite> merge_by_signature(const Report& report) {
  std::vector<MergedSite> merged;
  std::unordered_map<std::string, size_t> known;
  for (const Site& site : report.sites) {
    std::string key = site.kind + '\n' + site.signature + '\n' + site.acquired_by + '\n' + site.suppressed_by;
    // A site without a signature (one that stands for many, or damage) is like no other.
    auto [place, is_new] =
        site.signature.empty() ? std::pair(known.end(), true) : known.try_emplace(key, merged.size());
    if (is_new) {
      merged.push_back({site, 1, &report.outer_stacks});
      continue;
    }
    MergedSite& into = merged[place->second];
    ++into.parts;
    into.site.live += site.live;
    into.site.running += site.running;
    into.site.bytes += site.bytes;
    into.site.total += site.total;
    into.site.peak = std::max(into.site.peak, site.peak);
    into.site.truncated = into.site.truncated || site.truncated;
    into.site.objects.insert(into.site.objects.end(), site.objects.begin(), site.objects.end());
  }
  return merged;
}

bool counts(const Site& site) {
  return site.suppressed_by.empty() && site.grade != "informational" && site.owner != "libc" && site.live > 0;
}

}  // namespace unfreed::render
