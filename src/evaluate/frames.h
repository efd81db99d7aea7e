// The frames of a stack as a report shows them: nodes of the ledger, named by the resolver, without the runtime's.
// Internal to this folder. Allocation-free, async-signal-safe if the resolver is.
#pragma once

#include <cstdint>
#include <string_view>

#include "evaluate/evaluate.h"
#include "ledger/view.h"

namespace unfreed::report {

/// Deepest stack a report shows; UNFREED_DEPTH cannot ask for more.
inline constexpr size_t kMaxFrames = 512;

/// One frame: the node, its module (nullptr: unknown), and one source-level view of it.
struct FrameView {
  const ledger::Node* node;
  const ledger::Module* module;
  std::string_view module_path;   ///< "" unknown
  const ResolvedFrame* resolved;  ///< nullptr: nothing is known
};

/// The module of frames whose source is known without one (ledger::kNodeSource).
inline constexpr std::string_view kSourceModule = "[python]";

struct FrameVisitor {
  void* context = nullptr;
  void (*visit)(void* context, const FrameView& frame) = nullptr;
};

/// Visits one node's source-level frames, innermost first: at least one, but none for a frame of the runtime.
void visit_node(const ledger::View& view, const FrameResolver& resolver, const ledger::Node& node,
                const FrameVisitor& visitor);

/// Visits a stack, or the innermost `most_nodes` of it, of which there are at most kMaxFrames.
void visit_stack(const ledger::View& view, const FrameResolver& resolver, uint32_t leaf, const FrameVisitor& visitor,
                 size_t most_nodes = kMaxFrames);

}  // namespace unfreed::report
