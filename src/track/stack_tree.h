// The tree of stacks in the ledger: a node is a frame on top of its parent's stack.
//
// Most nodes have a single child, made along with them: each node knows its first child and its first site, and only
// further ones are hashed. A chain made at once is contiguous, so following it again touches few cache lines,
// and a node without children needs no search.
//
//     links:  node → first child, first site          second children: hash of (parent, frame) → node
//
// Lock-free and async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "ledger/layout.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// Allocates what belongs to the ledger's nodes. False: no memory.
bool prepare_stack_tree();
void reset_stack_tree_after_fork();

/// A frame as nodes have it.
struct FrameKey {
  uint32_t module;  ///< as Node::module
  uint64_t offset;
};
FrameKey key_of(const unwind::Frame& frame);

/// The node for a frame on top of `parent` (0: the outermost); 0 if there is none.
uint32_t find_child(uint32_t parent, const FrameKey& key);

/// The same, made if needed; 0 if the table is full, which is counted.
uint32_t make_child(uint32_t parent, const FrameKey& key);

/// The first site made at a node; 0 none.
std::atomic<uint32_t>& first_site_at(uint32_t node);

inline uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t hash = (a ^ b * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
  return hash ^ hash >> 32;
}

}  // namespace unfreed::track
