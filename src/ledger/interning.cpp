#include "ledger/interning.h"

namespace unfreed::ledger {

namespace {

constexpr uint32_t kFirstSlots = 1024;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t hash = (a ^ b * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

Node& node_at(const Writer& writer, uint32_t number) { return *writer.at<Node>(SectionId::nodes, number); }

bool is_for(const Node& node, uint32_t parent, const FrameKey& key) {
  return node.offset == key.offset && node.module == key.module && node.parent == parent;
}

uint64_t hash_of(uint32_t parent, const FrameKey& key) { return mix(uint64_t{parent} << 32 | key.module, key.offset); }

Site& site_at(const Writer& writer, uint32_t number) { return *writer.at<Site>(SectionId::sites, number); }

uint64_t hash_of(const SiteKey& key) {
  return mix(uint64_t{key.node} << 32 | uint64_t{key.hook} << 16 | uint64_t{key.kind} << 8 | key.truncated, 0x51);
}
SiteKey key_of(const Site& site) {
  return {site.kind, static_cast<uint8_t>(site.flags & kSiteTruncated), site.hook, site.node};
}
bool is_for(const Site& site, const SiteKey& key) {
  SiteKey known = key_of(site);
  return known.kind == key.kind && known.truncated == key.truncated && known.hook == key.hook && known.node == key.node;
}

constexpr uint32_t overflow_site(uint8_t kind) { return 1 + kind; }

bool make_overflow_sites(const Writer& writer) {
  for (uint32_t kind = 0; kind < kKindCount; ++kind) {
    uint64_t number;
    Site* site = writer.append<Site>(SectionId::sites, number);
    if (!site) return false;
    site->kind = static_cast<uint8_t>(kind);
    site->flags = kSiteOverflow | kSiteTruncated;
  }
  return true;
}

/// How many records a table has, of which 0 stands for none: 1 if it is empty.
uint32_t count_of(const Writer& writer, SectionId id) {
  const Section& table = writer.section(id);
  uint64_t count = table.count.load(std::memory_order_acquire);
  return static_cast<uint32_t>(count < table.capacity ? count : table.capacity);
}

}  // namespace

bool StackTree::prepare(const Writer& writer, Existing existing) {
  uint32_t count = count_of(writer, SectionId::nodes);
  if (!link_memory_.prepare(writer.section(SectionId::nodes).capacity * sizeof(Links)) ||
      !link_memory_.grow_to(size_t{count} * sizeof(Links)) || !second_children_.prepare(kFirstSlots))
    return false;
  for (uint32_t number = 1; existing == Existing::found && number < count; ++number) {
    const Node* node = writer.known<Node>(SectionId::nodes, number);
    // Parents are older: a number that is not comes from a damaged ledger.
    if (node && node->parent < number) enter(writer, number, node->parent, {node->module, node->offset});
  }
  return true;
}

void StackTree::give_back() {
  link_memory_.give_back();
  second_children_.give_back();
}

uint32_t StackTree::find_child(const Writer& writer, uint32_t parent, const FrameKey& key) const {
  auto same = [&](uint32_t number) { return is_for(node_at(writer, number), parent, key); };
  return second_children_.find_in_group(links()[parent].first_child, same, [&] { return hash_of(parent, key); });
}

uint32_t StackTree::make_child(const Writer& writer, uint32_t parent, const FrameKey& key) {
  if (uint32_t known = find_child(writer, parent, key)) return known;
  uint64_t number;
  Node* node = writer.append<Node>(SectionId::nodes, number);
  if (!node || !link_memory_.grow_to((number + 1) * sizeof(Links))) {
    writer.drop(Dropped::nodes_full);
    return 0;
  }
  *node = {parent, key.module, key.offset};
  auto made = static_cast<uint32_t>(number);
  links()[made].first_child.store(0, std::memory_order_relaxed);  // written before it is read: one page fault, not two
  return enter(writer, made, parent, key);
}

/// Another thread may have made the same meanwhile: then that one counts, and nothing leads to `number`.
uint32_t StackTree::enter(const Writer& writer, uint32_t number, uint32_t parent, const FrameKey& key) {
  auto same = [&](uint32_t other) { return is_for(node_at(writer, other), parent, key); };
  return second_children_.insert_in_group(links()[parent].first_child, number, same, [&](uint32_t other) {
    const Node& known = node_at(writer, other);
    return hash_of(known.parent, {known.module, known.offset});
  });
}

uint32_t StackTree::make_stack(const Writer& writer, std::span<const FrameKey> frames, bool& truncated) {
  uint32_t node = 0;
  for (size_t left = frames.size(); left > 0; --left) {
    uint32_t made = make_child(writer, node, frames[left - 1]);
    if (!made) {
      truncated = true;
      break;
    }
    node = made;
  }
  return node;
}

bool SiteTable::prepare(const Writer& writer) {
  return second_sites_.prepare(kFirstSlots) && make_overflow_sites(writer);
}

uint32_t SiteTable::find(const Writer& writer, const StackTree& stacks, const SiteKey& key) const {
  auto same = [&](uint32_t number) { return is_for(site_at(writer, number), key); };
  return second_sites_.find_in_group(stacks.first_site_at(key.node), same, [&] { return hash_of(key); });
}

uint32_t SiteTable::make(const Writer& writer, const StackTree& stacks, const SiteKey& key, uint8_t more_flags,
                         uint64_t now_ns) {
  if (uint32_t known = find(writer, stacks, key)) return known;
  uint64_t number;
  Site* site = writer.append<Site>(SectionId::sites, number);
  if (!site) {
    writer.drop(Dropped::sites_full);
    return overflow_site(key.kind);
  }
  site->kind = key.kind;
  site->flags = static_cast<uint8_t>(key.truncated | more_flags);
  site->hook = key.hook;
  site->node = key.node;
  site->first_ns = now_ns;
  // Another thread may have made the same meanwhile: then that one counts, and ours acquires nothing.
  auto same = [&](uint32_t other) { return is_for(site_at(writer, other), key); };
  return second_sites_.insert_in_group(stacks.first_site_at(key.node), static_cast<uint32_t>(number), same,
                                       [&](uint32_t other) { return hash_of(key_of(site_at(writer, other))); });
}

}  // namespace unfreed::ledger
