// Which sites the suppressions cover, and what that takes out of the totals.
#include "base/scan.h"
#include "evaluate/accepted.h"
#include "evaluate/evaluation.h"
#include "evaluate/frames.h"
#include "settings/suppressions.h"

namespace unfreed::report {

namespace {

/// A demangled name without its parameters: "ns::open(char const*, int) const" → "ns::open". The name itself where it
/// has none.
std::string_view without_parameters(std::string_view name) {
  size_t close = name.rfind(')');
  if (close == std::string_view::npos) return name;
  // Only qualifiers may follow a parameter list: not so for "(anonymous namespace)::open".
  if (close + 1 < name.size() && name[close + 1] != ' ' && name[close + 1] != '[') return name;
  size_t depth = 0;
  for (size_t at = close + 1; at-- > 0;) {
    if (name[at] == ')') ++depth;
    if (name[at] == '(' && --depth == 0) return at == 0 ? name : base::slice(name, 0, at);
  }
  return name;
}

/// The search for a suppression among one site's frames.
struct Search {
  std::span<const Suppression> suppressions;
  ledger::Kind kind;
  uint32_t found = kNoIndex;

  bool applies(const Suppression& suppression) const { return suppression.any_kind || suppression.kind == kind; }

  void try_names(std::span<const std::string_view> names) {
    // The first in the file wins, whichever frame it matches.
    for (uint32_t index = 0; index < suppressions.size() && index < found; ++index) {
      if (!applies(suppressions[index])) continue;
      for (std::string_view name : names)
        if (matches(suppressions[index], name)) found = index;
    }
  }

  static void visit(void* context, const FrameView& frame) {
    Search& search = *static_cast<Search*>(context);
    std::string_view function;
    std::string_view full_name;
    std::string_view linkage_name;
    std::string_view file;
    if (frame.resolved) {
      function = frame.resolved->function;
      full_name = frame.resolved->full_name;
      linkage_name = frame.resolved->linkage_name;
      file = frame.resolved->file;
    }
    const std::string_view names[] = {
        function, without_parameters(function), full_name,         without_parameters(full_name),     linkage_name,
        file,     base::base_name(file),        frame.module_path, base::base_name(frame.module_path)};
    search.try_names(names);
  }
};

uint64_t hexadecimal(std::string_view digits) {
  uint64_t value = 0;
  for (char digit : digits) {
    int part = base::is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
    value = value << 4 | static_cast<uint64_t>(part & 15);
  }
  return value;
}

bool have_signatures(std::span<const Suppression> suppressions) {
  for (const Suppression& suppression : suppressions)
    if (suppression.signature) return true;
  return false;
}

uint32_t find(const ReportInput& input, const Evaluation& evaluation, const ledger::Site& record,
              const EvaluatedSite& site, bool with_signatures) {
  Search search{input.suppressions, site.kind};
  visit_stack(*evaluation.view, input.resolver, record.node, {&search, Search::visit});
  if (!with_signatures) return search.found;
  for (uint32_t index = 0; index < input.suppressions.size() && index < search.found; ++index) {
    const Suppression& suppression = input.suppressions[index];
    if (suppression.signature && search.applies(suppression) && hexadecimal(suppression.pattern) == site.signature)
      search.found = index;
  }
  return search.found;
}

/// What a suppression takes out of its kind's totals: every number that has a suppressed part.
void take_out(const EvaluatedSite& site, Evaluation& evaluation) {
  Totals& totals = evaluation.of(subject_of(site.kind));
  Totals::each_of(subject_of(site.kind), [&](Counter counter, const CounterRow& row) {
    if (row.suppressed != Counter::none) totals[row.suppressed] += site.value(counter);
  });
}

}  // namespace

uint32_t find_suppression(const ReportInput& input, const Evaluation& evaluation, uint32_t index) {
  const ledger::Site* record = index < evaluation.sites.size() ? evaluation.view->site(index) : nullptr;
  if (input.suppressions.empty() || !record || !evaluation.sites[index].valid) return kNoIndex;
  return find(input, evaluation, *record, evaluation.sites[index], have_signatures(input.suppressions));
}

void apply_suppressions(const ReportInput& input, Evaluation& evaluation) {
  bool with_signatures = have_signatures(input.suppressions);
  for (uint32_t index = 0; index < evaluation.sites.size(); ++index) {
    EvaluatedSite& site = evaluation.sites[index];
    const ledger::Site* record = evaluation.view->site(index);
    if (!record || !site.valid || site.libc || site.total == 0) continue;
    if (!input.suppressions.empty()) site.suppression = find(input, evaluation, *record, site, with_signatures);
    if (!site.is_suppressed() && site.kind == ledger::Kind::fd)
      site.suppression = accepted_descriptors(input, evaluation, index);
    if (site.is_suppressed()) take_out(site, evaluation);
  }
}

}  // namespace unfreed::report
