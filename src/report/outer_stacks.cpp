#include "report/outer_stacks.h"

#include <bit>

#include "report/frames.h"

namespace unfreed::report {

namespace {

size_t set_size(size_t nodes) { return std::bit_ceil(nodes * 2 + 1); }

uint64_t hash_of(const ledger::Node& node) {
  uint64_t hash = (node.offset ^ uint64_t{node.module} << 40) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 32;
}

/// The node that follows the innermost ones; 0 where the stack is no longer than those.
uint32_t node_after(const ledger::View& view, uint32_t leaf) {
  uint32_t node = leaf;
  for (size_t depth = 0; depth < OuterStacks::kInnermost && node; ++depth) {
    const ledger::Node* record = view.node(node);
    node = record ? record->parent : 0;
  }
  return node;
}

}  // namespace

size_t OuterStacks::scratch_bytes(const ledger::View& view) {
  if (view.site_count() <= kWholeStacks) return 0;
  size_t nodes = with_room_to_grow(view.node_count());
  return (3 * nodes + set_size(nodes)) * sizeof(uint32_t) + 64;
}

void OuterStacks::prepare(const ledger::View& view, std::span<const uint32_t> sites, Scratch& scratch) {
  if (sites.empty()) return;
  size_t nodes = view.node_count();
  std::span<uint32_t> numbers = scratch.take<uint32_t>(nodes);
  calls_ = scratch.take<uint32_t>(nodes);
  call_of_ = scratch.take<uint32_t>(nodes);
  call_set_ = scratch.take<uint32_t>(set_size(nodes));
  if (scratch.short_of_memory()) return;
  for (uint32_t& number : numbers) number = 0;
  for (uint32_t site : sites) {
    const ledger::Site* record = view.site(site);
    uint32_t node = record ? node_after(view, record->node) : 0;
    for (size_t depth = kInnermost; node && node < nodes && depth < kMaxFrames && !numbers[node]; ++depth) {
      const ledger::Node* known = view.node(node);
      if (!known) break;
      numbers[node] = 1;
      node = known->parent;
    }
  }
  for (uint32_t& number : numbers)
    if (number) number = ++count_;
  numbers_ = numbers;
  number_calls(view);
}

void OuterStacks::number_calls(const ledger::View& view) {
  size_t mask = set_size(count_) - 1;  // no more of the set than is needed
  for (size_t at = 0; at <= mask; ++at) call_set_[at] = 0;
  for (uint32_t node = 1; node < numbers_.size(); ++node) {
    if (!numbers_[node]) continue;
    const ledger::Node& record = *view.node(node);
    size_t at = hash_of(record) & mask;
    for (; call_set_[at]; at = (at + 1) & mask) {
      const ledger::Node& known = *view.node(calls_[call_set_[at] - 1]);
      if (known.module == record.module && known.offset == record.offset) break;
    }
    if (!call_set_[at]) {
      calls_[call_count_++] = node;
      call_set_[at] = call_count_;
    }
    call_of_[numbers_[node] - 1] = call_set_[at] - 1;
  }
}

uint32_t OuterStacks::number_after(const ledger::View& view, uint32_t leaf) const {
  uint32_t node = count_ ? node_after(view, leaf) : 0;
  return node < numbers_.size() ? numbers_[node] : 0;
}

}  // namespace unfreed::report
