#include "grade/retention.h"

#include <algorithm>

#include "arch/thread_block.h"
#include "grade/retention_tree.h"
#include "grade/thread_locals.h"
#include "track/modules.h"
#include "track/tracker.h"
#include "unwind/objects.h"

namespace unfreed::grade {

using ledger::RootKind;
using ledger::SectionId;

namespace {

/// With all that hangs on it.
struct Weight {
  uint64_t blocks;
  uint64_t bytes;
};

class RetentionWriter {
 public:
  RetentionWriter(HeapGraph& graph, const MemoryMap& map, ledger::Writer& out) : graph_(graph), map_(map), out_(out) {}

  void write() {
    out_.section(SectionId::retention).count.store(0, std::memory_order_relaxed);
    nodes_ = graph_.retention().nodes();
    weights_ = weight_memory_.reserve_array<Weight>(nodes_.size() + 1);
    records_ = record_memory_.reserve_array<uint32_t>(nodes_.size() + 1);
    if (!weights_ || !records_) return out_.drop(ledger::Dropped::retention_failed);
    for (size_t at = nodes_.size(); at-- > 1;) {
      Weight& weight = weights_[at];
      weight.blocks += nodes_[at].blocks;
      weight.bytes += nodes_[at].bytes;
      Weight& parent = weights_[nodes_[at].parent];
      parent.blocks += weight.blocks;
      parent.bytes += weight.bytes;
    }
    choose();
    find_locals();
    for (size_t at = 1; at < nodes_.size(); ++at)
      if (is_chosen(at) && !enter(at)) break;
  }

 private:
  /// The heaviest, by blocks or by bytes. A parent is as heavy as its children.
  bool is_chosen(size_t at) const {
    return weights_[at].blocks && (weights_[at].blocks >= least_.blocks || weights_[at].bytes >= least_.bytes);
  }
  void choose() {
    constexpr uint64_t kFirstPart = 1u << 16;
    uint64_t most = out_.section(SectionId::retention).capacity;
    for (uint64_t part = kFirstPart; part > 1; part /= 2) {
      least_ = {weights_[0].blocks / part, weights_[0].bytes / part + 1};
      size_t chosen = 0;
      for (size_t at = 1; at < nodes_.size(); ++at) chosen += is_chosen(at);
      if (chosen <= most) return;
    }
  }

  bool enter(size_t at) {
    const RetentionNode& node = nodes_[at];
    if (node.parent && !records_[node.parent]) return true;
    uint64_t index;
    auto* record = out_.append<ledger::RetentionRecord>(SectionId::retention, index);
    if (!record) return false;
    *record = {};
    records_[at] = static_cast<uint32_t>(index) + 1;
    record->blocks = node.blocks;
    record->bytes = node.bytes;
    record->retained_bytes = node.retained_bytes;
    if (node.parent) {
      record->parent = records_[node.parent];
      record->site = node.site;
      if (const Block* holder = graph_.find_around(node.link)) record->link = node.link - holder->start;
      if (uintptr_t table = graph_.virtual_table_of(node.example)) locate(table, record->type_module, record->type);
    } else {
      record->root = static_cast<uint8_t>(node.root.kind);
      record->thread = node.root.thread;
      place(node.root, node.link, *record);
      record->link = node.example - node.link;
    }
    return true;
  }

  void place(const Root& root, uintptr_t word, ledger::RetentionRecord& record) {
    record.place = root.place;
    if (root.kind == RootKind::variable) locate(word, record.module, record.place);
    if (root.kind == RootKind::stack && root.place) locate(root.place, record.module, record.place);
    if (root.kind == RootKind::thread_variable) locate_thread_variable(record);
    if (root.kind == RootKind::thread_key) record.place = root.place / kKeyBytes;
  }
  static void locate(uintptr_t address, uint32_t& module, uint64_t& offset) {
    unwind::Object object;
    offset = address;
    if (!unwind::find_object(address, object)) return;
    module = track::module_number(object);
    if (module) offset = address - object.bias;
  }
  static constexpr size_t kMostLocals = 128;
  struct Locals {
    ThreadLocals at;
    uint32_t module;
  };
  /// The executable's come right beside the thread pointer, whatever is known of the others.
  void find_locals() {
    bool is_executable = true;
    unwind::any_object([&](const unwind::Object& object) {
      Locals& one = locals_[local_count_];
      size_t bytes = unwind::thread_local_bytes(object);
      bool is_known = find_thread_locals(map_, object, one.at);
      if (!is_known) one.at = {0, arch::executable_offset(bytes), bytes};
      if (bytes && (is_known || is_executable)) one.module = track::module_number(object);
      if (bytes && (is_known || is_executable) && one.module) ++local_count_;
      is_executable = false;
      return local_count_ == kMostLocals;
    });
  }
  void locate_thread_variable(ledger::RetentionRecord& record) {
    auto place = static_cast<intptr_t>(record.place);
    for (const auto& [at, module] : std::span(locals_).first(local_count_)) {
      intptr_t start = at.offset ? arch::thread_local_place(at.offset) : static_cast<intptr_t>(block_place(at.number));
      intptr_t into = place - start;
      if (into < 0 || into >= static_cast<intptr_t>(at.bytes)) continue;
      record.module = module;
      record.place = ledger::kThreadLocals + static_cast<uint64_t>(into);
      return;
    }
  }

  HeapGraph& graph_;
  const MemoryMap& map_;
  ledger::Writer& out_;
  Locals locals_[kMostLocals];
  size_t local_count_ = 0;
  Scratch weight_memory_, record_memory_;
  std::span<RetentionNode> nodes_;
  Weight* weights_ = nullptr;
  uint32_t* records_ = nullptr;  ///< by node, + 1; 0: it is left out
  Weight least_{};
};

}  // namespace

void write_retention(HeapGraph& graph, const MemoryMap& map, ledger::Writer& out) {
  RetentionWriter(graph, map, out).write();
}

}  // namespace unfreed::grade
