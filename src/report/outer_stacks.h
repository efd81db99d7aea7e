// What the stacks of very many sites have in common, written once: sites from some place in the list on show their
// innermost call themselves and then refer to a node here, which is a call and the node of its caller.
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/view.h"
#include "report/scratch.h"

namespace unfreed::report {

class OuterStacks {
 public:
  /// Calls that such a site's stack shows itself.
  static constexpr size_t kInnermost = 1;
  /// Sites at the head of the list that show all of theirs.
  static constexpr size_t kWholeStacks = 1000;

  /// Working memory it takes from the scratch.
  static size_t scratch_bytes(const ledger::View& view);

  /// Notes the outer parts of these sites' stacks. Without the memory for it, none: then all show their stacks whole.
  void prepare(const ledger::View& view, std::span<const uint32_t> sites, Scratch& scratch);

  /// Where the stack that ends in `leaf` goes on after its innermost call; 0: nowhere, or it is to be shown whole.
  uint32_t number_after(const ledger::View& view, uint32_t leaf) const;

  bool empty() const { return count_ == 0; }
  uint32_t call_count() const { return call_count_; }
  /// Calls `visit(const ledger::Node&)` for each distinct call.
  template <class Visit>
  void each_call(const ledger::View& view, Visit visit) const {
    for (uint32_t number = 0; number < call_count_; ++number) visit(*view.node(calls_[number]));
  }
  /// Calls `visit(call, outer)` for each node, from number 1: the number of its call, from 0, and of its caller's node.
  template <class Visit>
  void each_node(const ledger::View& view, Visit visit) const {
    for (uint32_t node = 1; node < numbers_.size(); ++node) {
      if (!numbers_[node]) continue;
      uint32_t parent = view.node(node)->parent;
      // Callers come first: in a forged ledger one may not.
      uint32_t outer = parent < node ? numbers_[parent] : 0;
      visit(call_of_[numbers_[node] - 1], outer);
    }
  }

 private:
  void number_calls(const ledger::View& view);

  std::span<uint32_t> numbers_;   ///< by the ledger's node: its number here, 0 for none
  std::span<uint32_t> call_of_;   ///< by number − 1
  std::span<uint32_t> calls_;     ///< by call: a node of the ledger that is this call
  std::span<uint32_t> call_set_;  ///< hash table of calls + 1; a power of two
  uint32_t count_ = 0;
  uint32_t call_count_ = 0;
};

}  // namespace unfreed::report
