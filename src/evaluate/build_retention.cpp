// Who keeps blocks alive: the ledger's tree of paths, with names. Roots that are parts of one variable are one.
#include <algorithm>
#include <tuple>

#include "evaluate/build.h"
#include "report/describe.h"

namespace unfreed::report {

using ledger::RetentionRecord;
using ledger::RootKind;

namespace {

ledger::Node node_at(uint32_t module, uint64_t place) { return {0, module | ledger::kNodeExactPc, place}; }

/// Where the variable at a place begins; the place itself if no name is known.
uint64_t find_start(const Build& build, uint32_t module, uint64_t place) {
  uint64_t into = 0;
  const FrameResolver& resolver = build.input.resolver;
  if (resolver.resolve)
    resolver.resolve(
        resolver.context, build.view(), node_at(module, place), &into,
        [](void* context, const ResolvedFrame& frame) { *static_cast<uint64_t*>(context) = frame.symbol_offset; });
  return place - std::min(into, place);
}

/// "vtable for Session" is Session's.
Text find_type(const Build& build, uint32_t module, uint64_t place) {
  struct Found {
    base::Arena& arena;
    Text name;
  } found{build.arena, {}};
  const FrameResolver& resolver = build.input.resolver;
  if (!module || !resolver.resolve) return {};
  resolver.resolve(resolver.context, build.view(), node_at(module, place), &found,
                   [](void* context, const ResolvedFrame& frame) {
                     constexpr Text kTable = "vtable for ";
                     auto& to = *static_cast<Found*>(context);
                     Text name = frame.full_name.empty() ? frame.function : frame.full_name;
                     if (name.starts_with(kTable)) to.name = to.arena.copy(name.substr(kTable.size()));
                   });
  return found.name;
}

class Retention {
 public:
  explicit Retention(Build& build) : build_(build) {}

  void add_all() {
    uint64_t count = build_.view().retention_count();
    numbers_ = build_.arena.take_array<uint32_t>(count + 1);
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    slots_ = build_.arena.take_array<uint32_t>(slots);
    if (numbers_.empty() || slots_.empty()) return;
    std::span<bool> needed = find_needed(count);
    for (uint32_t at = 0; at < count; ++at)
      if (const RetentionRecord* record = build_.view().retention(at); record && (needed.empty() || needed[at + 1]))
        add(*record, at + 1);
  }

 private:
  /// By record, + 1: does it lead to a site of the report? Empty: the report has all sites.
  std::span<bool> find_needed(uint64_t count) {
    if (!build_.out.sites_omitted) return {};
    std::span<bool> needed = build_.arena.take_array<bool>(count + 1);
    std::span<bool> listed = build_.arena.take_array<bool>(build_.evaluation.sites.size());
    if (needed.empty() || listed.empty()) return {};
    for (const Site& site : build_.out.sites) listed[site.id] = true;
    for (auto at = static_cast<uint32_t>(count); at > 0; --at) {
      const RetentionRecord* record = build_.view().retention(at - 1);
      if (!record || !(needed[at] || (record->site < listed.size() && listed[record->site]))) continue;
      needed[at] = true;
      if (record->parent < at) needed[record->parent] = true;
    }
    return needed;
  }

  void add(const RetentionRecord& record, uint32_t number) {
    RetentionNode node;
    if (record.parent) {
      // A parent comes first, and one that is not there takes its children with it.
      if (record.parent >= number || !numbers_[record.parent]) return;
      node.parent = numbers_[record.parent];
      node.site = record.site;
    } else {
      describe_root(record, node);
    }
    RetentionNode* known = find_or_add(node);
    if (!known) return;
    numbers_[number] = static_cast<uint32_t>(known - &build_.out.retention[0]) + 1;
    if (record.parent && known->type.empty()) known->type = find_type(build_, record.type_module, record.type);
    if (!known->blocks && record.parent) known->link = record.link;
    known->joined |= node.joined;
    known->blocks += record.blocks;
    known->bytes += record.bytes;
    bool is_known = build_.view().header().retained_sizes.load() == static_cast<uint32_t>(ledger::RetainedSizes::known);
    if (is_known) known->retained_bytes = known->retained_bytes.value_or(0) + record.retained_bytes;
  }

  void describe_root(const RetentionRecord& record, RetentionNode& node) {
    auto kind = static_cast<RootKind>(record.root);
    node.root = record.root < std::size(EnumWords<RootKind>::kWords) ? kind : RootKind::none;
    if (record.thread) node.thread = record.thread;
    bool is_variable = kind == RootKind::variable || kind == RootKind::thread_variable;
    if (record.module) {
      uint64_t start = is_variable ? find_start(build_, record.module, record.place) : record.place;
      node.joined =
          is_variable && record.link && start != find_start(build_, record.module, record.place + record.link);
      node.place = build_.stacks.function_at(record.module, start);
    } else if (kind == RootKind::thread_key) {
      node.key = record.place;
    } else if (record.place && kind != RootKind::thread_variable) {
      node.address = record.place;
    }
  }

  static auto identity_of(const RetentionNode& node) {
    return std::tie(node.parent, node.site, node.root, node.place, node.address, node.key, node.thread);
  }

  RetentionNode* find_or_add(const RetentionNode& node) {
    uint64_t hash = node.parent * 31 + node.site;
    hash = (hash * 31 + node.place) * 31 + node.address.value_or(0) + static_cast<uint64_t>(node.thread.value_or(0));
    hash = (hash + node.key.value_or(0)) * 31;
    hash = (hash + static_cast<uint64_t>(node.root)) * 0x9e3779b97f4a7c15;
    size_t mask = slots_.size() - 1;
    List<RetentionNode>& all = build_.out.retention;
    for (size_t slot = hash >> 32 & mask;; slot = (slot + 1) & mask) {
      if (!slots_[slot]) {
        if (!all.add(build_.arena, node)) return nullptr;
        slots_[slot] = all.size();
        return &all[all.size() - 1];
      }
      RetentionNode& one = all[slots_[slot] - 1];
      if (identity_of(one) == identity_of(node)) return &one;
    }
  }

  Build& build_;
  std::span<uint32_t> numbers_;  ///< of nodes in the report, + 1, by record
  std::span<uint32_t> slots_;    ///< hash table of nodes, open addressing
};

}  // namespace

void build_retention(Build& build) {
  if (build.evaluation.graded) Retention(build).add_all();
}

}  // namespace unfreed::report
