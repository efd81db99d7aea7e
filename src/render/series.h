// A series: what looks at a running process saw, recorded as it went on. One file, in lines, to which a look adds what
// has changed since the look before, with a single write:
//
//     unfreed series 1
//     R KEY NS {a report, as JSON}                the first look: all that is held. KEY identifies the process's image
//     A {a report, as JSON}                       call sites that were not in the reports before
//     L NS fd.live=12 limit=1024 … | 7:12,0,0,40  a look: totals that have changed; of sites, by ID, live, running,
//                                                 bytes and total
//
// A line R with the same key comes where another writer goes on, and where the coverage of a kind has changed. NS is
// CLOCK_MONOTONIC. It can be read at any time while it is written. A writer that was killed leaves at most its
// last line incomplete, which is left out. A line R with another key begins the series of another process, or of
// another program that the process executed: what was before it is then left out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "render/growth.h"
#include "report/report.h"

namespace unfreed::render {

inline constexpr std::string_view kSeriesStart = "unfreed series 1\n";
inline bool is_series(std::string_view text) { return text.starts_with(kSeriesStart); }

/// A number as it went on, by the look at which it changed.
class Steps {
 public:
  void set(size_t look, uint64_t value);
  /// From the first look on; 0 before it was set.
  std::vector<uint64_t> at_looks(size_t looks) const;
  /// Leaves every second look, from the first on.
  void halve();

 private:
  std::vector<std::pair<size_t, uint64_t>> steps_;
};

struct Series {
  std::string key;  ///< of the process's image
  std::vector<uint64_t> times_ns;
  std::map<uint64_t, Steps> sites;  ///< by ID: how many, of the heap how many bytes
  Steps kinds[ledger::kKindCount];
  uint64_t limit = 0;  ///< on descriptors; 0: none known
  uint64_t open = 0;
};

/// Adds a look: `report` is on the same image of the process, and has all its call sites.
void add_look(Series& series, uint64_t now_ns, uint64_t limit, const report::Report& report);
/// Leaves every second look, from the first on: what is looked at for days takes no more memory.
void halve(Series& series);

/// Reads a series into the report on its last look, with growth, and notes. `arena` receives its texts. False: `error`
/// as for read_json().
bool read_series(std::string_view text, base::Arena& arena, report::Report& out, std::string& error);
/// The same, but for growth.
bool read_series(std::string_view text, base::Arena& arena, report::Report& out, Series& series, std::string& error);

/// Adds to a report on the same image of the process what became of its call sites and kinds.
void add_growth(report::Report& report, base::Arena& arena, const Series& series);

/// What a site or kind is watched by: those that are held or run, or bytes.
template <class Numbers>
uint64_t watched_number(ledger::Kind kind, const Numbers& numbers) {
  return kind == ledger::Kind::heap ? numbers.value(report::Counter::bytes)
                                    : numbers.value(report::Counter::live) + numbers.value(report::Counter::running);
}
/// The same of a whole process, without what suppressions cover.
uint64_t watched_total(ledger::Kind kind, const report::Totals& totals);

/// Writes the lines of looks, one after the other.
class SeriesWriter {
 public:
  /// Must a report with names come with the next look (`full` of add())? At the first look, if there are new sites, and
  /// if the coverage has changed.
  bool needs_full(const report::Report& look) const;
  /// The lines for a look. `look`: evaluated without names; `full`: the same moment with names, where that is needed.
  std::string add(uint64_t now_ns, std::string_view key, uint64_t limit, const report::Report& look,
                  report::Report* full);

 private:
  struct Numbers {
    uint64_t live = 0;
    uint64_t running = 0;
    uint64_t bytes = 0;
    uint64_t total = 0;
    bool is_same(const Numbers& other) const {
      return live == other.live && running == other.running && bytes == other.bytes;
    }
  };
  static Numbers numbers_of(const report::Site& site) { return {site.live, site.running, site.bytes, site.total}; }

  bool has_same_coverage(const report::Report& look) const;

  std::string key_;
  ledger::Coverage coverage_[ledger::kKindCount] = {};
  bool is_complete_ = true;
  std::map<uint64_t, Numbers> known_;
  report::Totals totals_[report::kSubjectCount];
  uint64_t limit_ = 0;
};

}  // namespace unfreed::render
