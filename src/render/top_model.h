// What `unfreed top` knows: processes and their call sites as they go on from look to look. Nothing here draws, reads a
// clock or looks at a process.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "render/growth.h"
#include "render/places.h"
#include "render/series.h"

namespace unfreed::render {

/// A number over time.
class Tally {
 public:
  /// `before_ns`: when it was 0, if that is known.
  void look(uint64_t now_ns, uint64_t value, std::optional<uint64_t> before_ns = {});
  uint64_t value() const { return recent_.empty() ? 0 : recent_.back().value; }
  /// Since the first look.
  int64_t growth() const { return static_cast<int64_t>(value()) - static_cast<int64_t>(first_); }
  /// Over the last ten seconds; where looks are rarer, since the look before. Empty: there was one look.
  std::optional<double> per_second() const;

 private:
  uint64_t first_ = 0;
  std::deque<Look> recent_;
};

/// A look at a process.
struct TopProcess {
  std::string key;  ///< of its image
  int pid = 0;
  std::string name;     ///< of the program
  std::string command;  ///< with its arguments
  uint64_t running_ns = 0;
  /// By kind: of the heap bytes, of others those that are held or run. Absent: not tracked.
  std::array<std::optional<uint64_t>, ledger::kKindCount> held;
  uint64_t limit = 0;  ///< on descriptors; 0: none known
  uint64_t open = 0;   ///< descriptors, inherited ones included
};

/// Indexes of the kinds that have columns of their own.
inline constexpr auto kFd = static_cast<size_t>(ledger::Kind::fd), kHeap = static_cast<size_t>(ledger::Kind::heap),
                      kThread = static_cast<size_t>(ledger::Kind::thread);

/// A process over time.
struct TopProcessRow {
  TopProcess last;
  std::array<Tally, ledger::kKindCount> kinds;
  std::optional<uint64_t> ended_ns;  ///< when it was first missing
};

class TopProcesses {
 public:
  /// What is not among them has ended; it is kept for half a minute, and `kept` for as long as that is so.
  void look(uint64_t now_ns, const std::vector<TopProcess>& processes, std::string_view kept);
  /// By number.
  std::vector<const TopProcessRow*> rows() const;
  const TopProcessRow* find(std::string_view key) const;

 private:
  std::map<std::string, TopProcessRow, std::less<>> rows_;
};

/// A call site over time.
struct TopSiteRow {
  Place place;
  Tally tally;                      ///< of the heap bytes, of others those that are held or run
  std::optional<StackFrame> where;  ///< the frame that tells most
};

/// The same for a call site from look to look.
std::string key_of_site(const TopSiteRow& row);

/// The call sites of one process.
class TopSites {
 public:
  /// A look, with all call sites. Adds to the report what grows. The report must live until the next look. `every_ns`:
  /// how far apart looks should be; after a longer gap growth is judged anew.
  void look(uint64_t now_ns, uint64_t every_ns, uint64_t limit, report::Report& report, base::Arena& arena);
  /// The report is about to go; what is known of growth stays.
  void forget_report() {
    report_ = nullptr;
    rows_.clear();
  }
  const std::vector<TopSiteRow>& rows() const { return rows_; }
  /// nullptr: none.
  const report::Report* report() const { return report_; }
  uint64_t first_ns() const { return first_ns_; }
  uint64_t last_ns() const { return last_ns_; }

 private:
  using Key = std::tuple<ledger::Kind, uint64_t, std::string>;

  void add_to_series(uint64_t now_ns, uint64_t every_ns, uint64_t limit, const report::Report& report);

  const report::Report* report_ = nullptr;
  std::vector<TopSiteRow> rows_;
  std::map<Key, Tally> tallies_;
  Series series_;
  uint32_t stride_ = 1;   ///< so many looks make one of the series
  uint32_t skipped_ = 0;  ///< since the last one that was
  uint64_t first_ns_ = 0;
  uint64_t last_ns_ = 0;
};

/// "+340", "-2", "+1.2 MiB"; "" for 0.
std::string write_change(int64_t change, ledger::Kind kind);
/// "+3.5/s", "+12/min", "-1.2 MiB/s"; "" for 0.
std::string write_rate(std::optional<double> per_second, ledger::Kind kind);
/// "1,234", "1.2 MiB"
std::string write_held(uint64_t held, ledger::Kind kind);

}  // namespace unfreed::render
