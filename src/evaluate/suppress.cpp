// Which sites the suppressions cover, and what that takes out of the totals.
#include <algorithm>

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
  std::span<const Allowance> allowances;
  ledger::Kind kind;
  uint32_t found = kNoIndex;

  bool applies(uint32_t index) const {
    const Suppression& suppression = suppressions[index];
    bool is_used_up = index < allowances.size() && allowances[index].is_exceeded;
    return !is_used_up && (suppression.any_kind || suppression.kind == kind);
  }

  void try_names(std::span<const std::string_view> names) {
    // The first in the file wins, whichever frame it matches.
    for (uint32_t index = 0; index < suppressions.size() && index < found; ++index) {
      if (!applies(index)) continue;
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

/// Names of the function that acquired, as Valgrind knows it.
constexpr std::string_view kNewNames[] = {"_Znwm", "_ZnwmRKSt9nothrow_t", "_ZnwmSt11align_val_t",
                                          "_ZnwmSt11align_val_tRKSt9nothrow_t"};
constexpr std::string_view kNewArrayNames[] = {"_Znam", "_ZnamRKSt9nothrow_t", "_ZnamSt11align_val_t",
                                               "_ZnamSt11align_val_tRKSt9nothrow_t"};

/// Has a finding of this site only kinds of losses that the suppression may cover? What is reachable is no finding.
bool may_cover_losses(const Suppression& suppression, const EvaluatedSite& site) {
  auto is_covered = [&](uint64_t blocks, uint8_t kind) { return !blocks || (suppression.leak_kinds & kind); };
  return is_covered(site.lost, Suppression::kDefinite) && is_covered(site.indirectly_lost, Suppression::kIndirect) &&
         is_covered(site.possibly_lost, Suppression::kPossible);
}

bool matches_frames(const ReportInput& input, const Evaluation& evaluation, const ledger::Site& record,
                    const Suppression& suppression) {
  FrameMatcher matcher(suppression);
  std::string_view acquired_by = evaluation.function_name(record.hook);
  std::span<const std::string_view> names(&acquired_by, 1);
  if (acquired_by == "operator new") names = kNewNames;
  if (acquired_by == "operator new[]") names = kNewArrayNames;
  matcher.step({names, {}, {}, 0, false});
  visit_stack(*evaluation.view, input.resolver, record.node,
              {&matcher, [](void* context, const FrameView& frame) {
                 const ResolvedFrame none;
                 const ResolvedFrame& resolved = frame.resolved ? *frame.resolved : none;
                 const std::string_view functions[] = {resolved.linkage_name, resolved.function, resolved.symbol};
                 static_cast<FrameMatcher*>(context)->step(
                     {functions, frame.module_path, resolved.file, resolved.line, resolved.inlined});
               }});
  return matcher.has_matched();
}

uint32_t find(const ReportInput& input, const Evaluation& evaluation, const ledger::Site& record,
              const EvaluatedSite& site) {
  Search search{input.suppressions, evaluation.allowances, site.kind};
  visit_stack(*evaluation.view, input.resolver, record.node, {&search, Search::visit});
  for (uint32_t index = 0; index < input.suppressions.size() && index < search.found; ++index) {
    const Suppression& suppression = input.suppressions[index];
    if (!search.applies(index)) continue;
    bool is_found = suppression.signature ? signature_of(suppression) == site.signature
                    : suppression.valgrind
                        ? may_cover_losses(suppression, site) && matches_frames(input, evaluation, record, suppression)
                        : false;
    if (is_found) search.found = index;
  }
  return search.found;
}

/// What max= limits.
uint64_t used_by(const EvaluatedSite& site) { return site.kind == ledger::Kind::heap ? site.lost : site.live; }

/// What covers the lost blocks that alone lead to all that a site holds; kNoIndex for nothing. Freeing those lets this
/// be freed, too: it is no finding of its own.
uint32_t suppression_of_leader(const ReportInput& input, const Evaluation& evaluation, const EvaluatedSite& site) {
  if (site.indirectly_lost != site.live || !site.leader || site.leader >= evaluation.sites.size()) return kNoIndex;
  uint32_t suppression = evaluation.sites[site.leader].suppression;
  bool is_covered =
      suppression >= input.suppressions.size() || input.suppressions[suppression].leak_kinds & Suppression::kIndirect;
  return is_covered ? suppression : kNoIndex;
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
  return find(input, evaluation, *record, evaluation.sites[index]);
}

bool Evaluation::use(std::span<const Suppression> suppressions, uint32_t suppression, uint64_t count) {
  if (suppression >= suppressions.size() || !suppressions[suppression].most) return true;
  if (suppression >= allowances.size()) return false;  // there was no memory: nothing is hidden
  Allowance& allowance = allowances[suppression];
  allowance.used += count;
  allowance.is_exceeded |= allowance.used > *suppressions[suppression].most;
  return !allowance.is_exceeded;
}

void apply_suppressions(const ReportInput& input, base::Arena& arena, Evaluation& evaluation) {
  bool has_limits = std::any_of(input.suppressions.begin(), input.suppressions.end(),
                                [](const Suppression& one) { return one.most.has_value(); });
  if (has_limits) evaluation.allowances = arena.take_array<Allowance>(input.suppressions.size());
  auto each_site = [&](auto visit) {
    for (uint32_t index = 0; index < evaluation.sites.size(); ++index) {
      EvaluatedSite& site = evaluation.sites[index];
      const ledger::Site* record = evaluation.view->site(index);
      if (record && site.valid && !site.libc && site.total != 0) visit(index, site, *record);
    }
  };
  if (!input.suppressions.empty())
    each_site([&](uint32_t, EvaluatedSite& site, const ledger::Site& record) {
      site.suppression = find(input, evaluation, record, site);
      evaluation.use(input.suppressions, site.suppression, used_by(site));
    });
  // Sites that an exceeded suppression no longer covers may be covered by another one, which may then be exceeded, too.
  for (bool again = has_limits; again;) {
    again = false;
    each_site([&](uint32_t, EvaluatedSite& site, const ledger::Site& record) {
      if (evaluation.use(input.suppressions, site.suppression, 0)) return;
      if (site.exceeds == kNoIndex) site.exceeds = site.suppression;
      site.suppression =
          site.suppression < evaluation.allowances.size() ? find(input, evaluation, record, site) : kNoIndex;
      again |= !evaluation.use(input.suppressions, site.suppression, used_by(site));
    });
  }
  each_site([&](uint32_t index, EvaluatedSite& site, const ledger::Site&) {
    if (!site.is_suppressed() && site.kind == ledger::Kind::fd)
      site.suppression = accepted_descriptors(input, evaluation, index);
    if (!site.is_suppressed() && site.kind == ledger::Kind::heap &&
        site.value(Counter::lost) + site.value(Counter::indirectly_lost) + site.value(Counter::possibly_lost) > 0)
      site.suppression = accepted_losses(input, evaluation, index);
  });
  each_site([&](uint32_t, EvaluatedSite& site, const ledger::Site&) {
    if (!site.is_suppressed() && site.kind == ledger::Kind::heap && site.live)
      site.suppression = suppression_of_leader(input, evaluation, site);
    if (site.is_suppressed()) take_out(site, evaluation);
  });
}

}  // namespace unfreed::report
