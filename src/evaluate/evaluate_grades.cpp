// What the process could not get at any more, when that was last found out (src/grade).
#include <algorithm>

#include "evaluate/evaluation.h"

namespace unfreed::report {

namespace {

/// The process may have freed some since.
void take_as_far_as_live(const ledger::BlocksAndBytes& from, uint64_t& blocks_left, uint64_t& bytes_left,
                         uint64_t& blocks, uint64_t& bytes) {
  blocks = std::min(from.blocks, blocks_left);
  bytes = std::min(from.bytes, bytes_left);
  blocks_left -= blocks;
  bytes_left -= bytes;
}

void take_grades(const ledger::SiteGrades& grades, EvaluatedSite& site) {
  uint64_t blocks = site.live, bytes = site.bytes;
  site.leader = grades.leader;
  take_as_far_as_live(grades.lost, blocks, bytes, site.lost, site.lost_bytes);
  take_as_far_as_live(grades.indirectly_lost, blocks, bytes, site.indirectly_lost, site.indirectly_lost_bytes);
  take_as_far_as_live(grades.possibly_lost, blocks, bytes, site.possibly_lost, site.possibly_lost_bytes);
}

void total(Evaluation& evaluation, const EvaluatedSite& site) {
  Totals& totals = evaluation.of(subject_of(site.kind));
  for (Counter counter : {Counter::lost, Counter::lost_bytes, Counter::indirectly_lost, Counter::indirectly_lost_bytes,
                          Counter::possibly_lost, Counter::possibly_lost_bytes})
    totals[counter] += site.value(counter);
}

}  // namespace

void evaluate_grades(Evaluation& evaluation) {
  const ledger::View& view = *evaluation.view;
  if (!evaluation.graded) return;
  for (uint32_t at = 0; at < view.grades_of_site_count(); ++at) {
    const ledger::SiteGrades* grades = view.grades_of_site(at);
    if (!grades || grades->site >= evaluation.sites.size()) continue;
    EvaluatedSite& site = evaluation.sites[grades->site];
    if (site.valid && site.kind == ledger::Kind::heap && !site.libc) take_grades(*grades, site);
  }
  for (const EvaluatedFd& fd : evaluation.fds)
    if (fd.lost && fd.site && fd.fd_class == FdClass::held) ++evaluation.sites[fd.site].lost;
  for (const EvaluatedThread& thread : evaluation.threads)
    if (thread.lost && thread.site && thread.finished && !thread.ignored) ++evaluation.sites[thread.site].lost;
  for (const EvaluatedSite& site : evaluation.sites)
    if (site.valid && !site.libc) total(evaluation, site);
}

}  // namespace unfreed::report
