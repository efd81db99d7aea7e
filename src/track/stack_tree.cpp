#include "track/stack_tree.h"

#include "base/own_memory.h"
#include "track/number_set.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::Node;
using ledger::SectionId;

namespace {

struct Links {
  std::atomic<uint32_t> first_child;
  std::atomic<uint32_t> first_site;
};
constinit base::GrowingMemory g_link_memory;
Links* g_links;
constinit NumberSet g_second_children;

Node& node_at(uint32_t number) { return *g_tracker.writer.at<Node>(SectionId::nodes, number); }

bool is_for(const Node& node, uint32_t parent, const FrameKey& key) {
  return node.offset == key.offset && node.module == key.module && node.parent == parent;
}

uint64_t hash_of(uint32_t parent, const FrameKey& key) { return mix(uint64_t{parent} << 32 | key.module, key.offset); }

}  // namespace

bool prepare_stack_tree() {
  constexpr uint32_t kFirstSlots = 1024;
  bool has_links = g_link_memory.prepare(g_tracker.writer.section(SectionId::nodes).capacity * sizeof(Links));
  g_links = static_cast<Links*>(g_link_memory.start());
  return has_links && g_second_children.prepare(kFirstSlots);
}

FrameKey key_of(const unwind::Frame& frame) {
  uint64_t base = frame.module ? g_tracker.writer.at<ledger::Module>(SectionId::modules, frame.module)->base : 0;
  return {frame.module | (frame.exact_pc ? ledger::kNodeExactPc : 0), frame.pc - base};
}

uint32_t find_child(uint32_t parent, const FrameKey& key) {
  auto same = [&](uint32_t number) { return is_for(node_at(number), parent, key); };
  return g_second_children.find_in_group(g_links[parent].first_child, same, [&] { return hash_of(parent, key); });
}

uint32_t make_child(uint32_t parent, const FrameKey& key) {
  if (uint32_t known = find_child(parent, key)) return known;
  uint64_t number;
  Node* node = g_tracker.writer.append<Node>(SectionId::nodes, number);
  if (!node || !g_link_memory.grow_to((number + 1) * sizeof(Links))) {
    g_tracker.writer.drop(ledger::Dropped::nodes_full);
    return 0;
  }
  *node = {parent, key.module, key.offset};
  auto made = static_cast<uint32_t>(number);
  g_links[made].first_child.store(0, std::memory_order_relaxed);  // written before it is read: one page fault, not two
  // Another thread may have made the same meanwhile: then that one counts, and nothing leads to ours.
  auto same = [&](uint32_t n) { return is_for(node_at(n), parent, key); };
  return g_second_children.insert_in_group(g_links[parent].first_child, made, same, [](uint32_t n) {
    const Node& known = node_at(n);
    return hash_of(known.parent, {known.module, known.offset});
  });
}

void reset_stack_tree_after_fork() { g_link_memory.reset_lock_after_fork(); }

std::atomic<uint32_t>& first_site_at(uint32_t node) { return g_links[node].first_site; }

}  // namespace unfreed::track
