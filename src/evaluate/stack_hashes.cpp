#include "evaluate/stack_hashes.h"

namespace unfreed::report {

uint64_t StackHashes::hash_of(uint32_t leaf) {
  uint32_t chain[kMaxFrames];
  size_t depth = 0;
  uint64_t hash = kEmptyStackHash;
  for (uint32_t node = leaf; node && depth < kMaxFrames;) {
    if (node < known_.size() && known_[node]) {
      hash = known_[node];
      break;
    }
    const ledger::Node* record = view_.node(node);
    if (!record) break;
    chain[depth++] = node;
    node = record->parent;
  }
  while (depth > 0) {
    uint32_t node = chain[--depth];
    hash = add(hash, *view_.node(node));
    if (node < known_.size()) known_[node] = hash;
  }
  return hash;
}

uint64_t StackHashes::add(uint64_t callers, const ledger::Node& node) const {
  uint64_t hash = callers;
  FrameVisitor visitor{&hash, [](void* context, const FrameView& frame) {
                         // Inlining differs between builds: only the functions that were really called take part.
                         if (frame.resolved && frame.resolved->inlined) return;
                         auto& so_far = *static_cast<uint64_t*>(context);
                         std::string_view name = frame.resolved ? frame.resolved->linkage_name : std::string_view();
                         so_far = stack_hash(so_far, frame.module_path, name);
                       }};
  visit_node(view_, resolver_, node, visitor);
  return hash;
}

}  // namespace unfreed::report
