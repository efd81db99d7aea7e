// What a report says of what is held: the stacks that acquired it, call sites, and who keeps it alive.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ledger/layout.h"
#include "report/stacks.h"
#include "settings/subjects.h"

namespace unfreed::report {

enum class Grade : uint8_t { leaked, held, informational };

/// Of what is live, what the process could not get at any more when that was last found out.
struct Losses {
  uint64_t lost = 0;
  uint64_t lost_bytes = 0;
  uint64_t indirectly_lost = 0;
  uint64_t indirectly_lost_bytes = 0;
  uint64_t possibly_lost = 0;
  uint64_t possibly_lost_bytes = 0;

  void add(const Losses& other) {
    lost += other.lost;
    lost_bytes += other.lost_bytes;
    indirectly_lost += other.indirectly_lost;
    indirectly_lost_bytes += other.indirectly_lost_bytes;
    possibly_lost += other.possibly_lost;
    possibly_lost_bytes += other.possibly_lost_bytes;
  }
};

/// A number that sites and places have, by its name.
template <class Numbers>
uint64_t number_of(const Numbers& numbers, Counter counter) {
  switch (counter) {
    case Counter::live:
      return numbers.live;
    case Counter::bytes:
      return numbers.bytes;
    case Counter::total:
      return numbers.total;
    case Counter::total_bytes:
      return numbers.total_bytes;
    case Counter::peak:
      return numbers.peak;
    case Counter::running:
      return numbers.running;
    case Counter::lost:
      return numbers.lost;
    case Counter::lost_bytes:
      return numbers.lost_bytes;
    case Counter::indirectly_lost:
      return numbers.indirectly_lost;
    case Counter::indirectly_lost_bytes:
      return numbers.indirectly_lost_bytes;
    case Counter::possibly_lost:
      return numbers.possibly_lost;
    case Counter::possibly_lost_bytes:
      return numbers.possibly_lost_bytes;
    case Counter::closed_by_gc:
      return numbers.closed_by_gc;
    case Counter::growth:
      if constexpr (requires { numbers.growth->per_day; }) return numbers.growth ? numbers.growth->per_day : 0;
      return 0;
    default:
      return 0;
  }
}

/// One thing that a site holds. Members that do not apply are absent.
struct Object {
  std::optional<int64_t> fd;
  std::optional<int64_t> process;
  std::optional<uint64_t> handle;
  std::optional<int64_t> thread;  ///< the thread itself, or the one that acquired the object
  std::optional<uint64_t> goroutine;
  std::optional<uint64_t> bytes;
  Text target;
  List<Text> flags;
  Text name;
  Text state;
  std::optional<bool> detached;
  bool lost = false;
  std::optional<int64_t> created_by;
  std::optional<uint64_t> age_ns;
  std::optional<uint64_t> finished_ago_ns;
  Text owner;
  Text origin;
  CallId start_routine = 0;
  Text test;  ///< that ran when it was acquired
  uint64_t site = 0;
};

/// What of a site's is of about one age: all that it holds is in one of its groups, or its ages are not known. The age
/// of a heap block is known to lie between two bounds, since no clock is read for each.
struct AgeGroup {
  uint64_t age_ns = 0;       ///< of the oldest: at most
  uint64_t at_least_ns = 0;  ///< of the youngest
  uint64_t live = 0;
  uint64_t bytes = 0;
};

struct AgeSummary {
  uint64_t oldest_ns = 0;
  uint64_t median_ns = 0;
};
/// `ages`: the oldest first.
AgeSummary summarize(std::span<const AgeGroup> ages);

/// What of a site's has been live, or running, since a test ran, as that acquired it.
struct TestShare {
  Text test;  ///< empty: of those that are not listed
  uint64_t live = 0;
  uint64_t running = 0;
  uint64_t bytes = 0;

  uint64_t count() const { return live + running; }
  void add(const TestShare& other) {
    live += other.live;
    running += other.running;
    bytes += other.bytes;
  }
};
/// The order of tests: by number, as that is what texts say of them.
bool has_more(const TestShare& left, const TestShare& right);

/// What was live at a site some time ago.
struct PastCount {
  uint64_t ago_ns = 0;
  uint64_t live = 0;
  std::optional<uint64_t> bytes;  ///< of the heap, if it is known
};

/// What became of a number while a process was watched (render/growth.h).
enum class Course : uint8_t { unknown, steady, levels_off, grows };
struct Growth {
  Course course = Course::unknown;
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t per_day = 0;  ///< rounded up; if it grows
  uint64_t per_day_least = 0;
  uint64_t per_day_most = 0;
  Text reason;  ///< if it is not known
};
/// With fewer looks at a process, growth is not known.
inline constexpr uint64_t kFewestLooks = 12;

/// What identifies a call site.
enum class PlaceKnownBy : uint8_t { line, function, module };

/// One distinct stack by which one function acquired resources of a kind.
struct Site : Losses {
  uint64_t id = 0;
  ledger::Kind kind = ledger::Kind::fd;
  uint64_t signature = 0;
  PlaceKnownBy known_by = PlaceKnownBy::line;
  Grade grade = Grade::held;
  uint64_t live = 0;
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t total_bytes = 0;
  uint64_t closed_by_gc = 0;
  uint64_t peak = 0;  ///< 0: not known
  uint64_t at_peak = 0;
  uint64_t running = 0;
  bool growing = false;
  Text acquired_by;
  StackId stack = 0;
  bool truncated = false;
  bool overflow = false;
  Text owner;  ///< "libc" for what libc holds for its own use
  uint64_t first_age_ns = 0;
  uint64_t oldest_age_ns = 0;  ///< of what is live, as summarize() gives it; 0: not known
  uint64_t median_age_ns = 0;
  List<AgeGroup> ages;    ///< the oldest first; empty: not known
  List<TestShare> tests;  ///< as has_more() orders them
  uint64_t tests_omitted = 0;
  std::optional<TestShare> other_tests;  ///< what those acquired
  std::optional<Growth> growth;          ///< of the call site
  List<PastCount> history;               ///< the oldest first; empty where the number has not grown
  List<Object> objects;
  uint64_t objects_omitted = 0;
  Text suppressed_by;
  Text exceeds;  ///< the suppression that would cover it, but for its limit

  uint64_t value(Counter counter) const { return number_of(*this, counter); }
  /// Sets what `ages` come to.
  void take_ages();
  /// Sets `tests` anew after objects were removed. `all_are_listed`: was every one of its objects listed before?
  /// `live_before`: what was live then.
  void take_tests(bool all_are_listed, uint64_t live_before);
  /// Do rules count it?
  bool counts() const { return suppressed_by.empty() && owner.empty(); }
};

/// A call site: the sites of one signature, and their sums (evaluate/places.h). Suppressed sites have their own.
struct Place : Losses {
  List<uint32_t> sites;  ///< indexes, the worst first
  uint64_t live = 0;
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t total_bytes = 0;
  uint64_t closed_by_gc = 0;
  uint64_t peak = 0;  ///< at least; 0: not known
  uint64_t running = 0;
  bool growing = false;
  std::optional<Growth> growth;
  bool truncated = false;

  uint32_t first() const { return sites.empty() ? 0 : sites[0]; }
  uint64_t value(Counter counter) const { return number_of(*this, counter); }
};

/// Who keeps blocks alive: a root, where paths of pointers begin, or the blocks of one site that were reached through
/// those of the parent.
struct RetentionNode {
  uint64_t parent = 0;  ///< index + 1, less than the node's own; 0: it is a root
  ledger::RootKind root = ledger::RootKind::none;
  std::optional<int64_t> thread;
  CallId place = 0;  ///< of a root: the variable, or the function whose frame it is
  std::optional<uint64_t> address;
  std::optional<uint64_t> key;  ///< of pthread_setspecific
  bool joined = false;          ///< stands for variables that follow, too
  uint64_t site = 0;
  Text type;
  uint64_t link = 0;
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  std::optional<uint64_t> retained_bytes;
};

}  // namespace unfreed::report
