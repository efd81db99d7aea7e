// What signatures say of stacks, node by node: a node's hash follows from its caller's, and is worked out once however
// many stacks it is part of. Internal to this folder. Allocation-free, async-signal-safe if the resolver is.
#pragma once

#include <cstdint>
#include <span>

#include "evaluate/frames.h"

namespace unfreed::report {

class StackHashes {
 public:
  /// `memory`: for what is worked out, by node; what finds no room there is worked out again and again.
  StackHashes(const ledger::View& view, const FrameResolver& resolver, std::span<uint64_t> memory)
      : view_(view), resolver_(resolver), known_(memory) {
    for (uint64_t& hash : known_) hash = 0;
  }

  /// The signature of the stack that ends in `leaf`.
  uint64_t signature(ledger::Kind kind, std::string_view hook, uint32_t leaf) {
    return signature_of(hash_of(leaf), kind, hook);
  }

 private:
  uint64_t hash_of(uint32_t leaf);
  uint64_t add(uint64_t callers, const ledger::Node& node) const;

  const ledger::View& view_;
  const FrameResolver& resolver_;
  std::span<uint64_t> known_;  ///< 0: not yet
};

}  // namespace unfreed::report
