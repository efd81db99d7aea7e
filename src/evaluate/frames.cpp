#include "evaluate/frames.h"

#include <iterator>

#include "base/scan.h"

namespace unfreed::report {

namespace {
struct Visit {
  FrameView frame;
  const FrameVisitor* visitor;
  bool any;
};

void visit_resolved(void* context, const ResolvedFrame& resolved) {
  Visit& visit = *static_cast<Visit*>(context);
  visit.any = true;
  visit.frame.resolved = &resolved;
  visit.visitor->visit(visit.visitor->context, visit.frame);
}

/// What the node itself says.
void visit_source(const ledger::View& view, const ledger::Node& node, const FrameVisitor& visitor) {
  std::string_view texts[3];
  size_t at = 0;
  view.each_text(static_cast<ledger::StringRef>(node.offset), std::size(texts),
                 [&](std::string_view text) { texts[at++] = text; });
  ResolvedFrame resolved;
  resolved.file = texts[0];
  resolved.function = resolved.plain_name = texts[1];
  resolved.line = static_cast<uint32_t>(node.offset >> 32);
  uint64_t first_line = 0;
  if (base::parse_number(texts[2], first_line)) resolved.function_line = static_cast<uint32_t>(first_line);
  visitor.visit(visitor.context, {&node, nullptr, kSourceModule, &resolved});
}
}  // namespace

void visit_node(const ledger::View& view, const FrameResolver& resolver, const ledger::Node& node,
                const FrameVisitor& visitor) {
  if (node.module & ledger::kNodeSource) return visit_source(view, node, visitor);
  uint32_t index = node.module & ledger::kNodeModuleMask;
  const ledger::Module* module = index == 0 ? nullptr : view.module(index);
  if (module && (module->flags & ledger::kModuleRuntime)) return;
  Visit visit{{&node, module, module ? view.text(module->path) : std::string_view(), nullptr}, &visitor, false};
  if (resolver.resolve) resolver.resolve(resolver.context, view, node, &visit, visit_resolved);
  if (visit.any) return;
  visit.frame.resolved = nullptr;
  visitor.visit(visitor.context, visit.frame);
}

void visit_stack(const ledger::View& view, const FrameResolver& resolver, uint32_t leaf, const FrameVisitor& visitor,
                 size_t most_nodes) {
  const ledger::Node* nodes[kMaxFrames];
  size_t depth = view.stack(leaf, std::span(nodes).first(most_nodes));
  for (size_t index = 0; index < depth; ++index) visit_node(view, resolver, *nodes[index], visitor);
}

}  // namespace unfreed::report
