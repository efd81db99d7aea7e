#include "render/totals_text.h"

#include <fmt/format.h>

#include <vector>

#include "render/quantities.h"
#include "render/text_parts.h"
#include "report/words.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Subject;
using report::Totals;

std::string_view noun_of(ledger::Kind kind) {
  return kind == ledger::Kind::child ? "zombie" : report::row_of(report::subject_of(kind)).noun;
}

namespace {

/// "number word" of the counters that are not zero.
void add_counters(const Totals& totals, std::initializer_list<std::pair<Counter, const char*>> counters,
                  std::vector<std::string>& out) {
  for (const auto& [counter, word] : counters)
    if (uint64_t value = totals[counter]) out.push_back(fmt::format("{} {}", write_count(value), word));
}

std::string describe_heap(const Totals& totals, uint64_t live) {
  std::string held =
      live ? fmt::format("{} in {}", write_bytes(totals[Counter::bytes]), write_number_of(live, "block")) : "none";
  held += fmt::format(" held, of {} in {}", write_bytes(totals[Counter::total_bytes]),
                      write_number_of(totals[Counter::total], "block"));
  uint64_t interval = totals[Counter::sample_bytes];
  if (!interval) return held;
  return fmt::format("{}; estimated from one block per {}: ± {}, {}", held, write_bytes(interval),
                     write_bytes(totals[Counter::bytes_error]), write_number_of(totals[Counter::live_error], "block"));
}

/// "3 blocks (300 B) lost, 5 (80 B) indirectly lost"
std::string describe_lost_blocks(const Totals& totals) {
  if (!totals[Counter::lost]) return "none lost";
  std::string text = fmt::format("{} ({}) lost", write_number_of(totals[Counter::lost], "block"),
                                 write_bytes(totals[Counter::lost_bytes]));
  if (uint64_t with_them = totals[Counter::indirectly_lost])
    text += fmt::format(", {} ({}) indirectly lost", write_count(with_them),
                        write_bytes(totals[Counter::indirectly_lost_bytes]));
  return text;
}

/// What the process could not get at any more, if that is known.
std::string describe_losses(Subject subject, const Totals& totals, const Report& report) {
  bool is_graded = report.grading && report.grading->state == report::GradingState::done;
  if (!is_graded) return {};
  if (subject == Subject::heap && totals[Counter::live]) {
    std::string text = describe_lost_blocks(totals);
    if (uint64_t possibly = totals[Counter::possibly_lost])
      text += fmt::format("; {} ({}) possibly lost", write_count(possibly),
                          write_bytes(totals[Counter::possibly_lost_bytes]));
    return text;
  }
  return totals[Counter::lost] ? fmt::format("{} lost", write_count(totals[Counter::lost])) : "";
}

}  // namespace

std::string describe_totals(Subject subject, const Totals& totals, const Report& report) {
  std::vector<std::string> parts;
  uint64_t live = totals[Counter::live];
  std::string held = live ? write_count(live) : "none";
  std::string total = write_count(totals[Counter::total]);
  auto earlier = [&](const char* word) { return report.process.attached ? "from before" : word; };
  switch (subject) {
    case Subject::heap:
      parts.push_back(describe_heap(totals, live));
      break;
    case Subject::thread:
      parts.push_back(fmt::format("{} ended unjoined, of {} started", held, total));
      add_counters(totals, {{Counter::running, "still running"}, {Counter::unattributed, earlier("unattributed")}},
                   parts);
      break;
    case Subject::child:
      parts.push_back(fmt::format("{} unreaped, of {} started", held, total));
      add_counters(totals, {{Counter::running, "still running"}, {Counter::unattributed, "unattributed"}}, parts);
      if (report.process.attached) add_counters(totals, {{Counter::inherited, earlier("inherited")}}, parts);
      break;
    default:
      parts.push_back(fmt::format("{} held, of {} acquired", held, total));
      if (uint64_t peak = totals[Counter::peak]) parts.push_back(fmt::format("peak {}", write_count(peak)));
      add_counters(totals, {{Counter::closed_by_gc, "closed by the garbage collector"}}, parts);
      add_counters(totals, {{Counter::unattributed, "unattributed"}, {Counter::inherited, earlier("inherited")}},
                   parts);
  }
  if (std::string lost = describe_losses(subject, totals, report); !lost.empty()) parts.push_back(lost);
  if (uint64_t suppressed = totals[Counter::suppressed])
    parts.push_back(fmt::format("{} of the {} suppressed", write_count(suppressed), held));
  return join(parts, "; ");
}

std::string render_totals(const Report& report) {
  std::string text;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto subject = static_cast<Subject>(at);
    const Totals* totals = report.totals_of(subject);
    ledger::Coverage coverage = report.coverage[at];
    std::string_view name = report::row_of(subject).name;
    if (!totals) {
      if (coverage == ledger::Coverage::unavailable) text += fmt::format("  {:<7} could not be tracked\n", name);
      continue;
    }
    // Few programs have any of these: no line if there are none.
    bool is_rare = subject == Subject::thread || subject == Subject::child ||
                   report::is_handle_kind(static_cast<ledger::Kind>(at));
    if (is_rare && !(*totals)[Counter::total] && !(*totals)[Counter::unattributed]) continue;
    std::string line = describe_totals(subject, *totals, report);
    if (coverage != ledger::Coverage::exact) line += fmt::format(" ({})", report::word_of(coverage));
    text += fmt::format("  {:<7} {}\n", name, line);
  }
  return text;
}

}  // namespace unfreed::render
