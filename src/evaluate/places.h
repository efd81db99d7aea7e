// Defines call sites: the places that summaries, JSON, `diff`, HTML, suppressions and `site.` rules use. Many stacks
// may be one place:
//
//     for (…) open_log();         unrolled: five addresses, one line
//     channel<T>::open()          instances of one template
//     log.push_back(open(…))      other frames of the library, if the vector must grow
//
// So a place is identified by the program's own frames (names/code_owner.h), inlined ones included: by file, function
// and line, counted from where the function begins. Without debug information, by the linked function and the offset
// of the call in it. A stack with library frames only is identified by these and, without lines, by their functions'
// names alone. A change elsewhere in a file, another folder, another compiler's way of inlining, or another version of
// a library changes none of that.
//
// Two lines that this does not tell apart (functions of one name, in files of one name, at the same distance) get
// different signatures if both are in one report: then both signatures depend on the paths and lines themselves.
//
// Internal to this folder and to the command's completion of reports. Allocation-free, async-signal-safe if the
// resolver is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/text.h"
#include "names/code_owner.h"
#include "names/frame_resolver.h"
#include "report/report.h"

namespace unfreed::report {

/// A frame as it contributes to a place.
struct PlaceFrame {
  uint64_t lasting = 0;  ///< hash of what a rebuild leaves as it is
  uint64_t exact = 0;    ///< hash of what tells it from all others of this build
  CodeOwner owner = CodeOwner::program;
  PlaceKnownBy known_by = PlaceKnownBy::line;
};
/// `offset`: of the call in its module. `resolved`: nullptr if nothing is known.
PlaceFrame place_frame(std::string_view module_path, uint64_t offset, const ResolvedFrame* resolved);

/// Identifies a stack, from its outermost frame to any of the others.
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

/// One call's frames, as a resolver gives them. If there are too many, the outermost are left out: those are inlined,
/// so the place is only less exact.
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
/// Makes signatures that several places share differ. `order`: as much memory as there are stacks.
void settle_signatures(std::span<SignedStack> stacks, std::span<uint32_t> order);

/// The signature of a place, before shared ones are made to differ.
uint64_t signature_of(uint64_t lasting, ledger::Kind kind, std::string_view hook);

/// Adds the numbers of one of its stacks to those of a place. The place's peak is a lower bound of how many it held at
/// once: the peak of one of its stacks, or what is there now.
template <class Sum, class Stack>
void add_numbers(Sum& sum, const Stack& stack) {
  sum.add(stack);
  sum.live += stack.live;
  sum.running += stack.running;
  sum.bytes += stack.bytes;
  sum.total += stack.total;
  sum.total_bytes += stack.total_bytes;
  sum.closed_by_gc += stack.closed_by_gc;
  uint64_t peak = std::max(sum.peak, stack.peak);
  sum.peak = peak ? std::max(peak, sum.live + sum.running) : 0;
}

/// Does a place start threads that never end? Their number is then the highest so far.
bool is_growing(ledger::Kind kind, uint64_t there, uint64_t peak, uint64_t total);

/// Groups a report's sites by place (Report::places). Call it after sites or their signatures have changed.
void group_places(Report& report, base::Arena& arena);
/// As above, and raises the highest numbers of any place (Report::worst_site) where sites have come together.
void regroup_places(Report& report, base::Arena& arena);

}  // namespace unfreed::report
