// What a call site is: the place that summaries, JSON, `diff`, HTML, suppressions, baselines and `site.` rules all speak
// of. Many stacks may be one place:
//
//     for (…) open_log();         unrolled: five addresses, one line
//     channel<T>::open()          instances of one template
//     log.push_back(open(…))      a vector that has room, and one that must grow: other frames of the library's
//
// So a place is known by the program's own frames (names/code_owner.h), inlined ones included: by file, function and
// line as counted from where the function begins. Where there is no debug information, by the linked function and how
// far into it the call is. A stack of nothing but libraries' frames is known by these, and without lines by their
// functions' names alone. A change elsewhere in a file, another folder, another compiler's way of inlining, or another
// version of a library leaves all that as it is.
//
// Two lines that this does not tell apart (functions of one name and place in files of one name) are told apart where
// they meet in one report: then both signatures depend on the paths and lines themselves.
//
// Internal to this folder and to the command's completion of reports. Allocation-free, async-signal-safe if the
// resolver is.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/text.h"
#include "names/code_owner.h"
#include "names/frame_resolver.h"
#include "report/report.h"

namespace unfreed::report {

/// A frame as it takes part in a place.
struct PlaceFrame {
  uint64_t lasting = 0;  ///< hash of what a rebuild leaves as it is
  uint64_t exact = 0;    ///< hash of what tells it from all others of this build
  CodeOwner owner = CodeOwner::program;
  PlaceKnownBy known_by = PlaceKnownBy::line;
};
/// `offset`: of the call in its module. `resolved`: nullptr where nothing is known.
PlaceFrame place_frame(std::string_view module_path, uint64_t offset, const ResolvedFrame* resolved);

/// Of a stack, from its outermost frame to one of the others.
class StackPlace {
 public:
  /// The next frame inwards.
  void add(const PlaceFrame& frame);
  /// All frames of one call, the innermost first.
  void add(std::span<const PlaceFrame> frames);

  uint64_t lasting() const { return chosen().lasting; }
  uint64_t exact() const { return chosen().exact; }
  PlaceKnownBy known_by() const { return chosen().known_by; }

 private:
  struct Chain {
    uint64_t lasting = base::kEmptyTextHash;
    uint64_t exact = base::kEmptyTextHash;
    PlaceKnownBy known_by = PlaceKnownBy::module;  ///< its innermost frame
    void add(const PlaceFrame& frame);
  };
  const Chain& chosen() const { return has_own_ ? own_ : all_; }

  Chain own_;  ///< of the program's own frames
  Chain all_;
  bool has_own_ = false;
};

/// One call's frames, as a resolver gives them. Of more than fit the outermost are left out: as they are inlined, so is
/// the place less exact.
class PlaceFrames {
 public:
  void clear() { count_ = 0; }
  void add(const PlaceFrame& frame) {
    if (count_ < std::size(frames_)) frames_[count_++] = frame;
  }
  std::span<const PlaceFrame> all() const { return {frames_, count_}; }

 private:
  PlaceFrame frames_[64];
  size_t count_ = 0;
};

/// One stack of a report.
struct SignedStack {
  uint64_t signature = 0;  ///< in: of what lasts; out: of the place
  uint64_t exact = 0;
};
/// Signatures that several places have are made to differ. `order`: as much memory as there are stacks.
void settle_signatures(std::span<SignedStack> stacks, std::span<uint32_t> order);

/// The signature of a place, but for those that have to differ.
uint64_t signature_of(uint64_t lasting, ledger::Kind kind, std::string_view hook);

/// The most that two stacks of one place held at once is not known: at least what one of them did, and what is there.
uint64_t peak_of_place(uint64_t one, uint64_t other, uint64_t there);
/// Threads that are started and never end: there have never been more of them than now.
bool is_growing(ledger::Kind kind, uint64_t there, uint64_t peak, uint64_t total);

/// Groups a report's sites by place (Report::places). To be called when sites or their signatures have changed.
void group_places(Report& report, base::Arena& arena);
/// As above; the highest numbers of any place (Report::worst_site) are raised where sites have come together.
void regroup_places(Report& report, base::Arena& arena);

}  // namespace unfreed::report
