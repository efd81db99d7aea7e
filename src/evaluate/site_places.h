// Assigns each site of a ledger to its place. A node's place follows from its caller's, and is computed once for all
// stacks that contain the node. Internal to this folder. Allocation-free but for the arena; async-signal-safe if the
// resolver is.
#pragma once

#include "evaluate/evaluation.h"

namespace unfreed::report {

/// Fills in the signatures of all sites, and `by_place`.
void sign_sites(const ReportInput& input, base::Arena& arena, Evaluation& evaluation);

/// The counters of a place, and its largest site.
struct EvaluatedPlace {
  EvaluatedSite sum;
  uint32_t worst_site = 0;
};

/// `worst`: its largest site.
void add_to_place(EvaluatedPlace& place, const EvaluatedSite& site, uint32_t index, const EvaluatedSite& worst);

/// Calls `visit(place)` for each place whose sites count.
template <class Visit>
void each_place(const Evaluation& evaluation, Visit visit) {
  EvaluatedPlace place;
  const EvaluatedSite* last = nullptr;
  for (uint32_t index : evaluation.by_place) {
    const EvaluatedSite& site = evaluation.sites[index];
    if (!site.counts()) continue;
    bool is_same = last && last->kind == site.kind && last->signature == site.signature && !site.overflow;
    if (last && !is_same) visit(place);
    if (!is_same)
      place = {site, index};
    else
      add_to_place(place, site, index, evaluation.sites[place.worst_site]);
    last = &site;
  }
  if (last) visit(place);
}

}  // namespace unfreed::report
