#include "render/views.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

#include "render/columns.h"
#include "render/frames.h"
#include "render/function_names.h"
#include "render/missing_lines.h"
#include "render/quantities.h"
#include "render/samples.h"
#include "render/text_parts.h"

namespace unfreed::render {

using report::Counter;
using report::Report;

namespace {

std::string write_number(uint64_t value, Measure measure) {
  return is_bytes(measure.counter) ? write_bytes(value) : write_count(value);
}

/// What matters most of a kind: of the heap bytes.
Measure measure_of(ledger::Kind kind) { return {kind, kind == ledger::Kind::heap ? Counter::bytes : Counter::live}; }
uint64_t number_of(const Sample& sample, Measure measure) {
  uint64_t running = measure.counter == Counter::live ? sample.values[Counter::running] : 0;
  return sample.values[measure.counter] + running;
}

std::string heading_of(const Report& report) { return "unfreed: " + describe_process(report.process) + "\n"; }

// ---- tables ----

std::string or_nothing(uint64_t number) { return number ? write_count(number) : ""; }

}  // namespace

std::string first_frame_of(const Place& place, const TextOptions& options) {
  TextOptions one = options;
  one.most_frames = 1;
  std::string frame = render_frames(*place.report, place.site->stack, one, "");
  if (!frame.empty()) frame.pop_back();
  return frame.empty() ? "(no stack)" : frame;
}

std::string render_table(const Report& report, const TextOptions& options) {
  std::vector<Column> columns = {{"live", true, {}},  {"lost", true, {}},  {"running", true, {}}, {"size", true, {}},
                                 {"total", true, {}}, {"kind", false, {}}, {"from", false, {}},   {"", false, {}}};
  TextOptions plain = options;
  plain.colour = false;  // which would be cut
  for (const Place& place : list_places(report)) {
    bool is_held = place.counts() || (place.running && place.site->counts());
    if (!is_held) continue;
    std::string cells[] = {write_count(place.live),
                           or_nothing(place.lost),
                           or_nothing(place.running),
                           place.bytes ? write_bytes(place.bytes) : "",
                           or_nothing(place.total),
                           std::string(report::kind_name(place.site->kind)),
                           printable(place.site->acquired_by),
                           first_frame_of(place, plain)};
    for (size_t at = 0; at < columns.size(); ++at) columns[at].cells.push_back(cells[at]);
  }
  std::string table;
  for (const std::string& line : lay_out(columns, options.columns)) table += line + "\n";
  return table.empty() ? "\n  nothing is held\n" : "\n" + table;
}

namespace {

// ---- trees ----

struct Branch {
  uint64_t value = 0;
  std::map<std::string, Branch> calls;
};

class Tree {
 public:
  Tree(Measure measure, const TextOptions& options) : measure_(measure), options_(options) {}

  void add(const std::vector<std::string>& calls, uint64_t value) {
    Branch* branch = &root_;
    branch->value += value;
    for (const std::string& call : calls) {
      branch = &branch->calls[call];
      branch->value += value;
    }
  }
  bool empty() const { return root_.value == 0; }

  std::string render() const {
    std::string text = fmt::format("\n  {}: {}\n", name_of(measure_), write_number(root_.value, measure_));
    render(root_, "", text);
    return text;
  }

 private:
  /// Calls that lead to one other only stand one below the other: the tree is as deep as it has forks.
  void render(const Branch& branch, const std::string& indent, std::string& text) const {
    std::vector<std::pair<const std::string*, const Branch*>> calls;
    for (const auto& [name, one] : branch.calls) calls.push_back({&name, &one});
    std::stable_sort(calls.begin(), calls.end(),
                     [](const auto& left, const auto& right) { return left.second->value > right.second->value; });
    bool is_chain = calls.size() == 1 && calls[0].second->value == branch.value;
    size_t shown = 0;
    uint64_t left_out = 0;
    for (const auto& [name, one] : calls) {
      // No line for less than half a percent, nor for what would not fit beside its indentation.
      bool is_small = one->value * 200 < root_.value || indent.size() > kDeepest;
      if (is_small && shown) {
        left_out += one->value;
        continue;
      }
      ++shown;
      bool says_number = !is_chain || &branch == &root_;
      std::string number = says_number
                               ? fmt::format("{:>10} {:>5.1f}%", write_number(one->value, measure_),
                                             100.0 * static_cast<double>(one->value) / static_cast<double>(root_.value))
                               : std::string(17, ' ');
      text += cut_to(fmt::format("  {}  {}{}", number, indent, *name), options_.columns) + "\n";
      render(*one, is_fork(*one) ? indent + "  " : indent, text);
    }
    if (left_out)
      text += fmt::format("  {:>10}         {}and {} more\n", write_number(left_out, measure_), indent,
                          calls.size() - shown);
  }
  static bool is_fork(const Branch& branch) {
    return branch.calls.size() > 1 || (branch.calls.size() == 1 && branch.calls.begin()->second.value != branch.value);
  }

  static constexpr size_t kDeepest = 80;

  Measure measure_;
  const TextOptions& options_;
  Branch root_;
};

/// Outermost first, and at last the function that acquires.
std::vector<std::string> calls_of(const Sample& sample, const TextOptions& options) {
  TextOptions every = options;
  every.colour = false;
  every.most_frames = SIZE_MAX;
  every.columns = kMostColumns;
  std::vector<std::string> calls;
  std::string frames = render_frames(*sample.report, sample.stack(), every, "");
  for (size_t at = 0; at < frames.size();) {
    size_t end = frames.find('\n', at);
    calls.push_back(frames.substr(at, end - at));
    at = end + 1;
  }
  std::reverse(calls.begin(), calls.end());
  if (!sample.site) calls.push_back("(opened through no hooked function)");
  if (sample.site && !sample.site->acquired_by.empty()) calls.push_back(printable(sample.site->acquired_by));
  return calls;
}

}  // namespace

std::string render_tree(const Report& report, const RenderOptions& options, const TextOptions& text) {
  std::string out = heading_of(report);
  std::vector<Sample> samples = list_samples(report);
  bool has_any = false;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto kind = static_cast<ledger::Kind>(at);
    if (options.measure && options.measure->kind != kind) continue;
    Measure measure = options.measure.value_or(measure_of(kind));
    Tree tree(measure, text);
    for (const Sample& sample : samples) {
      if (sample.kind != kind || (sample.site && sample.site->grade == report::Grade::informational)) continue;
      uint64_t value = number_of(sample, measure);
      if (!value) continue;
      std::vector<std::string> calls = calls_of(sample, text);
      if (options.view == TextView::inverted_tree) std::reverse(calls.begin(), calls.end());
      tree.add(calls, value);
    }
    if (tree.empty()) continue;
    has_any = true;
    out += tree.render();
  }
  return has_any ? out : out + "\n  nothing is held\n";
}

// ---- sources ----

std::string source_line(std::string_view line) {
  std::string spaced;
  for (char one : line)
    if (one == '\t')
      spaced.append(4 - spaced.size() % 4, ' ');
    else
      spaced += one;
  return printable(spaced);
}

bool is_newer(const SourceTexts::File& file, std::string_view module) {
  struct stat status {};
  if (module.empty() || stat(std::string(module).c_str(), &status) != 0) return false;
  return status.st_mtime > 0 && file.changed_s > static_cast<uint64_t>(status.st_mtime);
}

namespace {
constexpr const char* kIsNewer = "(the file is newer than the program: lines may have moved)";
}  // namespace

std::string render_source(std::string_view file, uint32_t line, std::string_view module, const TextOptions& options,
                          std::string_view indent) {
  const SourceTexts::File* source = options.sources && line ? options.sources->find(file) : nullptr;
  if (!source || line > source->lines.size()) return {};
  std::string text;
  uint32_t around = options.source_lines - 1;
  size_t first = line > around ? line - around : 1;
  for (size_t at = first; at <= std::min<size_t>(source->lines.size(), size_t{line} + around); ++at) {
    std::string shown =
        fmt::format("{}{} {:>5} │ {}", indent, at == line ? ">" : " ", at, source_line(source->lines[at - 1]));
    shown = cut_to(shown, options.columns);
    text += (at == line ? tinted(shown, Tint::bold, options.colour) : shown) + "\n";
  }
  return is_newer(*source, module) ? text + fmt::format("{}  {}\n", indent, kIsNewer) : text;
}

std::string render_listing(const Report& report, const Pattern& functions, const TextOptions& options) {
  struct Function {
    std::map<uint32_t, std::map<ledger::Kind, uint64_t>> lines;
    report::Text module;
  };
  std::map<std::pair<std::string, report::Text>, Function> listed;  // by name and file
  for (const Sample& sample : list_samples(report)) {
    uint64_t value = number_of(sample, {sample.kind, Counter::live});
    if (!value) continue;
    std::set<std::tuple<report::Text, report::Text, uint32_t>> counted;  // a recursive function's lines count once
    for (const StackFrame& frame : list_frames(report, sample.stack())) {
      if (!functions.matches(frame.function) || !counted.insert({frame.function, frame.file, frame.line}).second)
        continue;
      Function& function = listed[{std::string(frame.function), frame.file}];
      function.module = frame.module;
      function.lines[frame.line][sample.kind] += value;
    }
  }
  std::string text = heading_of(report);
  if (listed.empty()) return text + "\n  nothing is held through a function of that name\n";
  for (const auto& [key, function] : listed) {
    constexpr uint32_t kAround = 5;
    const SourceTexts::File* source = options.sources ? options.sources->find(key.second) : nullptr;
    std::string title = fit_function(key.first);
    text += fmt::format("\n  {} ({})\n", tinted(printable(title), Tint::bold, options.colour),
                        options.paths.shorten(key.second.empty() ? function.module : key.second));
    if (!source && key.second.empty())
      text += fmt::format("      ({})\n", describe_missing_lines(function.module, true));
    else if (!source)
      text += "      (its source is not here: --source-root names the directory that it is in)\n";
    if (source && is_newer(*source, function.module)) text += fmt::format("      {}\n", kIsNewer);
    auto counts_of = [](const std::map<ledger::Kind, uint64_t>& held) {
      std::vector<std::string> counts;
      counts.reserve(held.size());
      for (const auto& [kind, count] : held)
        counts.push_back(fmt::format("{} {}", write_count(count), report::kind_name(kind)));
      return join(counts, ", ");
    };
    if (auto held = function.lines.find(0); held != function.lines.end())
      text += fmt::format("  {:>16}     ? │\n", counts_of(held->second));
    uint32_t first = function.lines.begin()->first, last = function.lines.rbegin()->first;
    first = first > kAround ? first - kAround : 1;
    last += kAround;
    for (uint32_t line = first, skipped_at = 0; line <= last; ++line) {
      auto held = function.lines.find(line);
      bool has_text = source && line <= source->lines.size();
      if (!has_text && held == function.lines.end()) continue;
      // Of a function of thousands of lines, what is around those that hold something.
      auto next = function.lines.lower_bound(line > kAround ? line - kAround : 0);
      bool is_near = next != function.lines.end() && next->first <= line + kAround;
      if (!is_near) {
        if (skipped_at + 1 != line) text += fmt::format("  {:>16}   ⋮\n", "");
        skipped_at = line;
        continue;
      }
      std::string counts = held != function.lines.end() ? counts_of(held->second) : "";
      std::string shown =
          fmt::format("  {:>16} {:>5} │ {}", counts, line, has_text ? source_line(source->lines[line - 1]) : "");
      shown = cut_to(shown, options.columns);
      text += (counts.empty() ? shown : tinted(shown, Tint::bold, options.colour)) + "\n";
    }
  }
  return text;
}

}  // namespace unfreed::render
