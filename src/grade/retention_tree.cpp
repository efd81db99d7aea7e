#include "grade/retention_tree.h"

#include <algorithm>
#include <cstring>

namespace unfreed::grade {

namespace {

/// From so many variables on, all within so many bits of an address are one root.
constexpr size_t kSeveral = 1024, kMany = 2 * kSeveral;
constexpr unsigned kBitsOfSeveral = 8, kBitsOfMany = 16;
/// How far back a call site is looked for among the ancestors.
constexpr int kFold = 16;

uint64_t mix(uint64_t value) {
  value = (value ^ value >> 32) * 0x9e3779b97f4a7c15;
  return value ^ value >> 29;
}

bool is_same(const RetentionNode& a, const RetentionNode& b) {
  return a.parent == b.parent && a.site == b.site && a.root.kind == b.root.kind && a.root.thread == b.root.thread &&
         a.root.place == b.root.place;
}

}  // namespace

bool RetentionTree::prepare() {
  nodes_ = node_memory_.reserve_array<RetentionNode>(kMostNodes);
  slots_ = slot_memory_.reserve_array<uint32_t>(kMostSlots);
  return nodes_ && slots_;
}

/// The one that has the node, or that it belongs in.
size_t RetentionTree::slot_of(const RetentionNode& node) const {
  uint64_t hash = mix(node.root.place ^ uint64_t{static_cast<uint32_t>(node.root.thread)} << 40) +
                  static_cast<uint64_t>(node.root.kind);
  hash = mix(hash + (uint64_t{node.parent} << 32 | node.site));
  size_t slot = hash % slot_count_;
  while (slots_[slot] && !is_same(nodes_[slots_[slot]], node)) slot = (slot + 1) % slot_count_;
  return slot;
}

void RetentionTree::grow() {
  std::memset(slots_, 0, slot_count_ * sizeof *slots_);
  slot_count_ *= 4;
  for (size_t at = 1; at < count_; ++at) slots_[slot_of(nodes_[at])] = static_cast<uint32_t>(at);
}

uint32_t RetentionTree::find_or_add(const RetentionNode& node) {
  size_t slot = slot_of(node);
  if (slots_[slot]) return slots_[slot];
  if (count_ == kMostNodes) return 0;
  if (count_ * 2 >= slot_count_) {
    grow();
    slot = slot_of(node);
  }
  nodes_[count_] = node;
  slots_[slot] = static_cast<uint32_t>(count_);
  return static_cast<uint32_t>(count_++);
}

uint32_t RetentionTree::root(const Root& root, uintptr_t word) {
  RetentionNode node{};
  node.root = root;
  node.link = word;
  bool is_variable = root.kind == ledger::RootKind::variable;
  if (is_variable && variables_ >= kSeveral) {
    unsigned bits = variables_ >= kMany ? kBitsOfMany : kBitsOfSeveral;
    node.root.place = root.place >> bits << bits;
  }
  size_t before = count_;
  uint32_t found = find_or_add(node);
  if (is_variable) variables_ += count_ - before;
  if (found) {
    nodes_[found].link = std::min(nodes_[found].link, word);
    nodes_[found].example = std::max(nodes_[found].example, word);
  }
  return found;
}

uint32_t RetentionTree::step(uint32_t holder, uint32_t site, uintptr_t block, uintptr_t word) {
  if (holder == last_holder_ && site == last_site_ && last_node_) return last_node_;
  uint32_t found = 0;
  uint32_t at = holder;
  for (int looks = 0; looks < kFold && nodes_[at].parent && !found; ++looks, at = nodes_[at].parent)
    if (nodes_[at].site == site) found = at;
  if (!found) {
    RetentionNode node{};
    node.parent = holder;
    node.site = site;
    node.example = block;
    node.link = word;
    found = holder ? find_or_add(node) : 0;
  }
  last_holder_ = holder;
  last_site_ = site;
  last_node_ = found;
  return found;
}

}  // namespace unfreed::grade
