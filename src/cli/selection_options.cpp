#include "cli/selection_options.h"

#include <fmt/format.h>

#include "base/scan.h"
#include "base/similar.h"
#include "settings/values.h"

namespace unfreed::cli {

namespace {

std::vector<std::string> list_orders() {
  std::vector<std::string> names;
  for (const render::Order& one : render::orders()) names.emplace_back(one.name);
  return names;
}

std::vector<std::string> list_groupings() {
  std::vector<std::string> names;
  for (const render::Grouping& one : render::groupings()) names.emplace_back(one.name);
  return names;
}

std::vector<std::string> list_subjects() {
  std::vector<std::string> names;
  for (const report::SubjectRow& one : report::kSubjects) names.emplace_back(one.name);
  return names;
}

}  // namespace

std::string list_words(const std::string& given, const std::vector<std::string>& words) {
  base::Nearest nearest(given);
  for (const std::string& word : words) nearest.consider(word);
  std::string meant = nearest.found().empty() ? "" : fmt::format("; did you mean '{}'?", nearest.found());
  return fmt::format("accepted is {}{}", fmt::join(words, ", "), meant);
}

bool read_positive(const std::string& text, uint64_t& number) { return base::parse_number(text, number) && number > 0; }

void SelectionOptions::add_options(Parser& parser) {
  add_filters(parser);
  parser.value("--sort", "ORDER", order_,
               "sort call sites by live, bytes, age, growth or total, the largest first (default: the worst first)",
               list_orders());
  parser.value("--min", "N", min_, "leave out call sites with less than N: live ones, or what --sort sorts by");
  parser.value("--top", "N", top_, "show the first N call sites only");
}

void SelectionOptions::add_options_for_changes(Parser& parser) {
  add_filters(parser);
  parser.value("--sort", "ORDER", order_,
               "by what to compare, the largest change first: by live ones or by bytes (default: live)",
               {"live", "bytes"});
  parser.value("--min", "N", min_, "leave out changes of less than N: live ones, or what --sort sorts by");
  parser.value("--top", "N", top_, "show the N largest changes in each list (default: 10)");
}

void SelectionOptions::add_grouping(Parser& parser, const char* help) {
  parser.value("--by", "WHAT", by_, help, list_groupings());
}

void SelectionOptions::add_filters(Parser& parser) {
  parser.values("--kind", "KIND", kinds_, "show only these kinds, such as fd or heap,thread");
  parser.document("--kind",
                  {.completes = fmt::format("{}", fmt::join(list_subjects(), " ")), .variable = "", .more = ""});
  parser.value(
      "--match", "REGEX", pattern_,
      "show only what has a function, source file, module, target, test or thread name that matches the extended "
      "regular expression REGEX, anywhere in the stack");
  parser.value("--thread", "THREAD", thread_, "show only what that thread acquired: its number or name");
  parser.value("--older", "AGE", older_, "list only what has been held for AGE: 90s, 10m, 2h, 3d");
}

bool SelectionOptions::read_kinds() {
  std::vector<std::string> words = list_subjects();
  for (const std::string& given : kinds_)
    for (size_t at = 0; at <= given.size();) {
      size_t end = std::min(given.find(',', at), given.size());
      std::string name = given.substr(at, end - at);
      auto found = std::find(words.begin(), words.end(), name);
      if (found == words.end()) {
        complain(fmt::format("--kind: there is no kind '{}': {}", name, list_words(name, words)));
        return false;
      }
      selection_.subjects |= report::bit_of(static_cast<report::Subject>(found - words.begin()));
      at = end + 1;
    }
  return true;
}

bool SelectionOptions::read_numbers() {
  struct Number {
    const char* name;
    const std::string& text;
    uint64_t& number;
  };
  for (const Number& one : {Number{"--min", min_, selection_.min}, Number{"--top", top_, selection_.top}}) {
    if (one.text.empty() || read_positive(one.text, one.number)) continue;
    complain(fmt::format("{}: cannot read '{}': accepted is a whole number from 1 on", one.name, one.text));
    return false;
  }
  return true;
}

bool SelectionOptions::read() {
  if (!older_.empty() && !report::parse_duration(older_, selection_.older_ns)) {
    complain(fmt::format("--older: cannot read '{}': accepted is a number with ms, s, m, h or d", older_));
    return false;
  }
  selection_.older = older_;
  if (!read_kinds() || !read_numbers()) return false;
  std::string error;
  if (!pattern_.empty() && !(selection_.pattern = render::Pattern::compile(pattern_, error))) {
    complain(fmt::format("--match: '{}' is not an extended regular expression: {}", pattern_, error));
    return false;
  }
  for (const render::Order& one : render::orders())
    if (one.name == order_) selection_.order = &one;
  for (const render::Grouping& one : render::groupings())
    if (one.name == by_) selection_.by = one.by;
  selection_.thread = thread_;
  std::string& written = selection_.written;
  auto write = [&](const char* name, const std::string& value) {
    if (!value.empty()) written += fmt::format("{}{} {}", written.empty() ? "" : " ", name, value);
  };
  write("--kind", fmt::format("{}", fmt::join(kinds_, ",")));
  write("--match", pattern_);
  write("--thread", thread_);
  if (selection_.min || selection_.top) write("--sort", order_);
  write("--min", min_);
  write("--top", top_);
  return true;
}

bool SelectionOptions::select_heap(const std::string& pattern) {
  if (!pattern_.empty() || !kinds_.empty()) {
    complain("--why selects heap blocks by a pattern of its own: leave out --kind and --match");
    return false;
  }
  std::string error;
  if (!(selection_.pattern = render::Pattern::compile(pattern, error))) {
    complain(fmt::format("--why: '{}' is not an extended regular expression: {}", pattern, error));
    return false;
  }
  selection_.subjects = report::bit_of(report::Subject::heap);
  selection_.written = fmt::format("--why {}{}{}", pattern, selection_.written.empty() ? "" : " ", selection_.written);
  return true;
}

std::string SelectionOptions::apply(OwnedReport& report) const {
  return render::select(report.report, report.arena, selection_);
}

std::string SelectionOptions::filter(OwnedReport& report) const {
  render::Selection filters = selection_;
  filters.min = filters.top = 0;
  filters.order = nullptr;
  return render::select(report.report, report.arena, filters);
}

}  // namespace unfreed::cli
