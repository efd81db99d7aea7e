#include "track/sites.h"

#include <algorithm>

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/libc_owned.h"
#include "track/modules.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::track {

using ledger::Dropped;
using ledger::Kind;
using ledger::Node;
using ledger::SectionId;
using ledger::Site;

namespace {

/// A set of record numbers hashed by what the records say. Readers take the table as it is; growth publishes a larger
/// copy and leaves the old one to readers that still hold it.
struct Table {
  uint32_t mask;
  std::atomic<uint32_t>* slots;
};

class NumberSet {
 public:
  bool prepare(uint32_t slots) {
    table_.store(allocate(slots), std::memory_order_release);
    return table_.load() != nullptr;
  }

  /// The number for which `same` says yes, or 0. Lock-free.
  template <class Same>
  uint32_t find(uint64_t hash, Same same) const {
    const Table* table = table_.load(std::memory_order_acquire);
    for (uint64_t at = hash;; ++at) {
      uint32_t number = table->slots[at & table->mask].load(std::memory_order_acquire);
      if (number == 0 || same(number)) return number;
    }
  }

  /// Adds `number`, which is not in the set. The caller holds the lock. `hash_of(number)` is needed when growing.
  template <class HashOf>
  void insert(uint32_t number, HashOf hash_of) {
    Table* table = table_.load(std::memory_order_relaxed);
    if (++used_ * 2 > table->mask) {
      if (Table* larger = allocate((table->mask + 1) * 4)) {
        for (uint64_t i = 0; i <= table->mask; ++i)
          if (uint32_t known = table->slots[i].load(std::memory_order_relaxed)) place(*larger, known, hash_of(known));
        table_.store(larger, std::memory_order_release);
        table = larger;
      } else if (used_ > table->mask) {
        return;  // no memory and one free slot left, which ends the searches: the record is found by nobody else
      }
    }
    place(*table, number, hash_of(number));
  }

 private:
  static Table* allocate(uint32_t slots) {
    auto* table = static_cast<Table*>(base::own_memory(sizeof(Table) + size_t{slots} * sizeof(uint32_t)));
    if (!table) return nullptr;
    table->mask = slots - 1;
    table->slots = reinterpret_cast<std::atomic<uint32_t>*>(table + 1);
    return table;
  }
  static void place(Table& table, uint32_t number, uint64_t hash) {
    uint64_t at = hash;
    while (table.slots[at & table.mask].load(std::memory_order_relaxed)) ++at;
    table.slots[at & table.mask].store(number, std::memory_order_release);
  }
  std::atomic<Table*> table_{nullptr};
  uint64_t used_ = 0;
};

constinit NumberSet g_nodes;
constinit NumberSet g_sites;
constinit base::Lock g_lock;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t hash = (a ^ b * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

Node& node_at(uint32_t number) { return *g_tracker.writer.at<Node>(SectionId::nodes, number); }

uint64_t node_hash(uint32_t parent, uint32_t module, uint64_t offset) {
  return mix(uint64_t{parent} << 32 | module, offset);
}

struct FrameKey {
  uint32_t module;  ///< as Node::module
  uint64_t offset;
};

FrameKey key_of(const unwind::Frame& frame) {
  uint64_t base = frame.module ? g_tracker.writer.at<ledger::Module>(SectionId::modules, frame.module)->base : 0;
  return {frame.module | (frame.exact_pc ? ledger::kNodeExactPc : 0), frame.pc - base};
}

uint32_t find_node(uint32_t parent, const FrameKey& key) {
  return g_nodes.find(node_hash(parent, key.module, key.offset), [&](uint32_t number) {
    const Node& node = node_at(number);
    return node.parent == parent && node.module == key.module && node.offset == key.offset;
  });
}

/// The node for a frame on top of `parent`, made if need be; 0 when the table is full. The caller holds g_lock.
uint32_t make_node(uint32_t parent, const FrameKey& key) {
  if (uint32_t known = find_node(parent, key)) return known;
  uint64_t number;
  Node* node = g_tracker.writer.append<Node>(SectionId::nodes, number);
  if (!node) {
    g_tracker.writer.drop(Dropped::nodes_full);
    return 0;
  }
  *node = {parent, key.module, key.offset};
  auto result = static_cast<uint32_t>(number);
  g_nodes.insert(result, [](uint32_t n) { return node_hash(node_at(n).parent, node_at(n).module, node_at(n).offset); });
  return result;
}

/// Interns frames, innermost first, on top of `node`; `note(frame, node)` hears of each from the outermost in.
template <class Note>
uint32_t intern_frames(uint32_t node, std::span<const unwind::Frame> frames, bool& truncated, Note note) {
  size_t left = frames.size();
  for (; left > 0; --left) {
    uint32_t known = find_node(node, key_of(frames[left - 1]));
    if (!known) break;
    note(frames[left - 1], node = known);
  }
  if (!left) return node;
  base::Hold hold(g_lock);
  for (; left > 0; --left) {
    uint32_t made = make_node(node, key_of(frames[left - 1]));
    if (!made) {
      truncated = true;
      break;
    }
    note(frames[left - 1], node = made);
  }
  return node;
}

struct SiteKey {
  uint8_t kind;
  uint8_t truncated;
  uint16_t door;
  uint32_t node;
};

uint64_t site_hash(const SiteKey& key) {
  return mix(uint64_t{key.node} << 32 | uint64_t{key.door} << 16 | uint64_t{key.kind} << 8 | key.truncated, 0x51);
}
SiteKey key_of(const Site& site) {
  return {site.kind, static_cast<uint8_t>(site.flags & ledger::kSiteTruncated), site.door, site.node};
}
Site& site_record(uint32_t number) { return *g_tracker.writer.at<Site>(SectionId::sites, number); }

uint32_t find_site(const SiteKey& key) {
  return g_sites.find(site_hash(key), [&](uint32_t number) {
    SiteKey known = key_of(site_record(number));
    return known.kind == key.kind && known.truncated == key.truncated && known.door == key.door &&
           known.node == key.node;
  });
}

constexpr uint32_t overflow_site(Kind kind) { return 1 + static_cast<uint32_t>(kind); }

/// Sites 1 … kKindCount stand for what finds no room, one a kind.
bool make_overflow_sites() {
  for (uint32_t kind = 0; kind < ledger::kKindCount; ++kind) {
    uint64_t number;
    Site* site = g_tracker.writer.append<Site>(SectionId::sites, number);
    if (!site) return false;
    site->kind = static_cast<uint8_t>(kind);
    site->flags = ledger::kSiteOverflow | ledger::kSiteTruncated;
  }
  return true;
}

/// Where a walk from `from` may read: the thread's own stack, or what can be probed of another.
unwind::StackBounds bounds_for(const ThreadState* state, uintptr_t sp) {
  if (state && state->is_own_stack(sp)) return {sp, state->bounds.high};
  unwind::StackBounds probed = unwind::probe_bounds(sp);
  return {sp, probed.high};
}

/// Without the thread's state (a signal handler in the middle of a verb, a thread at its end): a short stack will do.
constexpr size_t kShortStack = 64;

}  // namespace

bool prepare_sites() {
  constexpr uint32_t kFirstSlots = 4096;
  return g_nodes.prepare(kFirstSlots) && g_sites.prepare(kFirstSlots / 4) && make_overflow_sites();
}

uint32_t intern_stack(std::span<const unwind::Frame> frames, bool& truncated) {
  return intern_frames(0, frames, truncated, [](const unwind::Frame&, uint32_t) {});
}

namespace {

bool same_frame(const unwind::Frame& a, const unwind::Frame& b) {
  return a.pc == b.pc && a.module == b.module && a.exact_pc == b.exact_pc;
}

/// intern_stack for a thread that has walked a stack before: the outer frames are mostly the same.
uint32_t intern_walked(ThreadState& state, std::span<const unwind::Frame> frames, bool& truncated) {
  uint32_t same = 0;
  while (same < frames.size() && same < state.walked_count &&
         same_frame(state.walked[same], frames[frames.size() - 1 - same]))
    ++same;
  state.walked_count = same;
  return intern_frames(same ? state.walked_nodes[same - 1] : 0, frames.first(frames.size() - same), truncated,
                       [&](const unwind::Frame& frame, uint32_t node) {
                         state.walked[state.walked_count] = frame;
                         state.walked_nodes[state.walked_count++] = node;
                       });
}

uint32_t intern_site_at(uint32_t node, Kind kind, uint16_t door, std::span<const unwind::Frame> frames,
                        bool truncated) {
  SiteKey key{static_cast<uint8_t>(kind), static_cast<uint8_t>(truncated ? ledger::kSiteTruncated : 0), door, node};
  if (uint32_t known = find_site(key)) return known;
  // Symbol look-ups stay outside the lock.
  bool libc_owned = kind == Kind::heap && is_libc_owned(frames, truncated);
  base::Hold hold(g_lock);
  if (uint32_t known = find_site(key)) return known;
  uint64_t number;
  Site* site = g_tracker.writer.append<Site>(SectionId::sites, number);
  if (!site || number >= kMostSites) {
    g_tracker.writer.drop(Dropped::sites_full);
    return overflow_site(kind);
  }
  site->kind = key.kind;
  site->flags = static_cast<uint8_t>(key.truncated | (libc_owned ? ledger::kSiteLibc : 0));
  site->door = door;
  site->node = node;
  site->first_ns = base::monotonic_ns();
  auto result = static_cast<uint32_t>(number);
  g_sites.insert(result, [](uint32_t n) { return site_hash(key_of(site_record(n))); });
  return result;
}

}  // namespace

uint32_t intern_site(Kind kind, uint16_t door, std::span<const unwind::Frame> frames, bool truncated) {
  uint32_t node = intern_stack(frames, truncated);
  return intern_site_at(node, kind, door, frames, truncated);
}

namespace {

/// Walks and interns. `log` is filled in where it has room.
uint32_t walk_to_site(ThreadState* state, std::span<unwind::Frame> frames, unwind::SlotLog& log, Kind kind,
                      uint16_t door, const unwind::Registers& from) {
  frames = frames.first(std::min<size_t>(frames.size(), g_tracker.depth));
  unwind::WalkResult walked = unwind::walk(from, bounds_for(state, from.sp), g_tracker.runtime_module, frames, log);
  if (walked.frames <= 1 && walked.truncated) g_tracker.writer.drop(Dropped::unwind_failed);
  // Guesses are repeated by their words alone where every word may be read; elsewhere only what unwind information led
  // to.
  if (walked.truncated && !(state && state->is_own_stack(from.sp))) log.verifiable = false;
  frames = frames.first(walked.frames);
  uint32_t node = state ? intern_walked(*state, frames, walked.truncated) : intern_stack(frames, walked.truncated);
  return intern_site_at(node, kind, door, frames, walked.truncated);
}

/// Puts the stack of a memo's entry among those that blocks are taken at again and again.
void remember_recent(ThreadState& state, const unwind::Registers& from, uint32_t tag, uint32_t number,
                     unwind::SlotLog& log) {
  if (!log.size) state.memo.expand(number, log);
  uint32_t site = state.memo.site_of(number);
  ledger::Cell* cell = log.overflowed ? nullptr : cell_of(state, site);
  if (cell) state.recent.remember({from.pc, from.sp, tag}, site, cell, log, state.memo.mark_of(number));
}

uint32_t capture_without_state(Kind kind, uint16_t door, const unwind::Registers& from) {
  unwind::Frame frames[kShortStack];
  unwind::SlotLog log;
  return walk_to_site(nullptr, frames, log, kind, door, from);
}

}  // namespace

uint32_t capture_with_state(ThreadState& state, Kind kind, uint16_t door, const unwind::Registers& from, bool recent) {
  uint32_t generation = g_fork_page.generation.load(std::memory_order_relaxed);
  if (state.generation != generation) {
    forget_stacks(state);
    state.generation = generation;
  }
  unwind::SlotLog log;
  log.slots = state.slots;
  log.capacity = kMostSlots;
  const uintptr_t* saved_bp = unwind::saved_bp(from);
  if (*saved_bp == from.bp) log.initial_bp = saved_bp;
  bool own_stack = state.is_own_stack(from.sp);
  uint32_t tag = memo_tag(kind, door);
  StackMemo::Search miss;
  uint32_t number = log.initial_bp ? state.memo.find(from, tag, own_stack, miss) : 0;
  uint32_t site = 0;
  if (number) {
    site = state.memo.site_of(number);
  } else {
    site = walk_to_site(&state, state.frames, log, kind, door, from);
    number = state.memo.remember(from, tag, miss, site, log);
  }
  if (recent && own_stack && number) remember_recent(state, from, tag, number, log);
  return site;
}

uint32_t capture_site(Kind kind, uint16_t door, const unwind::Registers& from) {
  StateUse use;
  return use.state() ? capture_with_state(*use.state(), kind, door, from, false)
                     : capture_without_state(kind, door, from);
}

uint32_t capture_node(const unwind::Registers& from, bool& truncated) {
  StateUse use;
  unwind::Frame frames[kShortStack];
  unwind::SlotLog log;
  unwind::WalkResult walked =
      unwind::walk(from, bounds_for(use.state(), from.sp), g_tracker.runtime_module,
                   std::span(frames).first(std::min<size_t>(kShortStack, g_tracker.depth)), log);
  truncated = walked.truncated;
  return intern_stack(std::span(frames).first(walked.frames), truncated);
}

void reset_sites_after_fork() { g_lock.reset(); }

}  // namespace unfreed::track
