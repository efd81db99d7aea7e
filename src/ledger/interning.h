// Stacks and sites of a ledger, each once.
//
// The tree of stacks: a node is a frame on top of its parent's stack. Most nodes have a single child, made along with
// them: each node knows its first child and its first site, and only further ones are hashed. A chain made at once is
// contiguous, so following it again touches few cache lines, and a node without children needs no search.
//
//     links:  node → first child, first site          further children: hash of (parent, frame) → node
//                                                     further sites:    hash of (kind, function, node) → site
//
// The tables are private memory of whoever writes the ledger: the tracker, in the process itself, or the command, in a
// copy or for a process that cannot load the library (ledger/composer.h). Lock-free and async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/own_memory.h"
#include "ledger/layout.h"
#include "ledger/number_set.h"
#include "ledger/writer.h"

namespace unfreed::ledger {

/// A frame as nodes have it.
struct FrameKey {
  uint32_t module;  ///< as Node::module
  uint64_t offset;
};

/// Nodes that a ledger has from before. To find them again, each is hashed once.
enum class Existing : uint8_t { found, left_alone };

/// All writers that are passed to one of these write the same ledger.
class StackTree {
 public:
  /// False: no memory.
  bool prepare(const Writer& writer, Existing existing);

  /// The node for a frame on top of `parent` (0: the outermost); 0 if there is none.
  uint32_t find_child(const Writer& writer, uint32_t parent, const FrameKey& key) const;
  /// The same, made if needed; 0 if the table is full, which is counted.
  uint32_t make_child(const Writer& writer, uint32_t parent, const FrameKey& key);
  /// The innermost node of a stack, innermost frame first. Frames for which there is no room are left out (inner ones),
  /// and `truncated` is set.
  uint32_t make_stack(const Writer& writer, std::span<const FrameKey> frames, bool& truncated);

  /// The first site made at a node; 0 none.
  std::atomic<uint32_t>& first_site_at(uint32_t node) const { return links()[node].first_site; }

  void reset_lock_after_fork() { link_memory_.reset_lock_after_fork(); }
  /// Unmaps its tables. Nobody uses it any more.
  void give_back();

 private:
  struct Links {
    std::atomic<uint32_t> first_child;
    std::atomic<uint32_t> first_site;
  };
  Links* links() const { return static_cast<Links*>(link_memory_.start()); }
  uint32_t enter(const Writer& writer, uint32_t number, uint32_t parent, const FrameKey& key);

  base::GrowingMemory link_memory_;
  NumberSet second_children_;
};

/// What distinguishes sites.
struct SiteKey {
  uint8_t kind;       ///< Kind
  uint8_t truncated;  ///< kSiteTruncated or 0
  uint16_t hook;
  uint32_t node;
};

class SiteTable {
 public:
  /// False: no memory. Sites 1 … kKindCount, one a kind, stand for what finds no room: they are made.
  bool prepare(const Writer& writer);

  /// 0 if there is none.
  uint32_t find(const Writer& writer, const StackTree& stacks, const SiteKey& key) const;
  void give_back() { second_sites_.give_back(); }
  /// The site, made if needed with `more_flags`. If the table is full, which is counted, it is the kind's site for
  /// that.
  uint32_t make(const Writer& writer, const StackTree& stacks, const SiteKey& key, uint8_t more_flags, uint64_t now_ns);

 private:
  NumberSet second_sites_;  ///< all but the first of each node
};

}  // namespace unfreed::ledger
