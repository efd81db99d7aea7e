// Since when does a site's live count grow? So that even a first look at a process that nobody watched can say, the
// process looks at its own counts from time to time, where a clock is read anyway (track/epochs.h), and keeps what it
// found of the sites that have grown:
//
//     look      1 2 3 4 5 6 7 8 9 … 60 61 62 63 64 65 66 67 ▶ time
//     level     0 1 0 2 0 1 0 3 0      2  0  1  0  6  0  1  0     how often the look's number can be halved
//     kept            ·   ·   ·     ·     ·  ·  ·  ·  ·  ·  ·     the last two looks of each level
//
// So what is kept lies at distances from now that double, wherever now is; twenty levels of looks a minute apart are
// more than a year, in 40 samples. Looks are 100 ms apart at first, then a 32nd of the process's age, and a minute at
// most. A look goes over all sites and adds up what threads have counted of them; it does so in parts, which a process
// with many threads and sites goes through at as many different calls.
//
// A site gets a place in the table (SiteHistory) once its count is above the lowest that was found by a quarter and by
// some; by more as the table fills up, so that it has room for what grows most.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "ledger/layout.h"
#include "ledger/writer.h"

namespace unfreed::ledger {

/// One writer's looks at its sites. Lock-free, async-signal-safe, but for start(). A thread that stops for good in the
/// middle of a look holds up nobody.
class History {
 public:
  /// No look has been made; the first is due soon. Also in a fork child, whose ledger is new.
  void start(uint64_t now_ns);

  /// Is a look due, or its next part? UINT64_MAX before start().
  uint64_t due_ns() const { return due_ns_.load(std::memory_order_relaxed); }
  void look(const Writer& writer, uint64_t now_ns);

  /// How far apart looks are at a process of that age.
  static uint64_t distance_ns(uint64_t age_ns);
  /// Where the sample of a look is kept, whose number is 1 or more.
  static unsigned place_of(uint64_t look);

 private:
  struct Sum;
  uint64_t look_at(const Writer& writer, uint32_t base, uint32_t count);
  void note(const Writer& writer, uint32_t index, Site& site, uint64_t live, uint64_t bytes);
  bool has_grown(const Writer& writer, Site& site, uint64_t live) const;
  SiteHistory* find(const Writer& writer, uint32_t site) const;
  SiteHistory* add(const Writer& writer, uint32_t site);

  std::atomic<uint64_t> due_ns_{UINT64_MAX};
  std::atomic<uint64_t> started_ns_{0};
  std::atomic<uint64_t> began_ns_{0};   ///< the look that is being made
  std::atomic<uint64_t> look_{1};       ///< its number
  std::atomic<uint32_t> next_base_{0};  ///< sites before this, divided by kChunkCells, have been looked at
  std::atomic<bool> is_full_{false};    ///< no site can be added
  /// Numbers of records + 1, by site: open addressing, at most half full.
  std::array<std::atomic<uint16_t>, 8192> places_{};
};

}  // namespace unfreed::ledger
