#include "evaluate/stack_table.h"

namespace unfreed::report {

namespace {

constexpr size_t kFirstSlots = 256;

uint64_t hash_of(uint32_t module, uint64_t offset) {
  uint64_t hash = (offset ^ uint64_t{module} << 40) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 32;
}

Text hexadecimal(base::Arena& arena, Text bytes) {
  std::span<char> out = arena.take_array<char>(bytes.size() * 2);
  for (size_t at = 0; at < out.size(); ++at) {
    auto byte = static_cast<unsigned char>(bytes[at / 2]);
    out[at] = "0123456789abcdef"[at % 2 ? byte & 15 : byte >> 4];
  }
  return {out.data(), out.size()};
}

}  // namespace

StackTable::StackTable(const ledger::View& view, const FrameResolver& resolver, base::Arena& arena, Report& out)
    : view_(view),
      resolver_(resolver),
      arena_(arena),
      out_(out),
      stacks_(arena.take_array<StackId>(view.node_count())),
      modules_(arena.take_array<KnownModule>(view.module_count())),
      calls_(arena.take_array<Slot>(kFirstSlots)) {}

StackTable::KnownModule& StackTable::module(uint32_t index) {
  if (index >= modules_.size()) return unknown_;
  KnownModule& known = modules_[index];
  if (known.is_read) return known;
  known.is_read = true;
  const ledger::Module* record = index == 0 ? nullptr : view_.module(index);
  if (!record) return known;
  known.path = view_.text(record->path);
  if (!known.path.empty() && record->build_id_bytes > 0)
    known.build_id = hexadecimal(arena_, view_.build_id_bytes(*record));
  return known;
}

bool StackTable::grow_calls() {
  std::span<Slot> larger = arena_.take_array<Slot>(calls_.size() * 2);
  if (larger.empty()) return false;
  for (const Slot& slot : calls_) {
    if (!slot.call) continue;
    size_t at = hash_of(slot.module, slot.offset) & (larger.size() - 1);
    while (larger[at].call) at = (at + 1) & (larger.size() - 1);
    larger[at] = slot;
  }
  calls_ = larger;
  return true;
}

/// 0 for a frame of the runtime, and when there is no memory.
CallId StackTable::call(const ledger::Node& node) {
  uint32_t index = node.module & (ledger::kNodeModuleMask | ledger::kNodeSource);
  bool has_module = index != 0 && !(index & ledger::kNodeSource);
  if (has_module)
    if (const ledger::Module* record = view_.module(index); record && (record->flags & ledger::kModuleRuntime))
      return 0;
  uint64_t offset = lookup_offset(node);
  if (calls_.empty()) return 0;
  size_t at = hash_of(index, offset) & (calls_.size() - 1);
  for (; calls_[at].call; at = (at + 1) & (calls_.size() - 1))
    if (calls_[at].module == index && calls_[at].offset == offset) return calls_[at].call;
  Call* added = out_.stacks.calls.add(arena_);
  if (!added) return 0;
  KnownModule& known = module(index);
  known.is_used = true;
  added->module = index & ledger::kNodeSource ? kSourceModule : known.path;
  added->build_id = known.build_id;
  added->offset = index & ledger::kNodeSource ? 0 : offset;
  struct Target {
    base::Arena& arena;
    Call& call;
  } target{arena_, *added};
  FrameVisitor visitor{&target, [](void* context, const FrameView& view) {
                         if (!view.resolved) return;
                         Target& to = *static_cast<Target*>(context);
                         Frame* frame = to.call.frames.add(to.arena);
                         if (!frame) return;
                         frame->function = to.arena.copy(view.resolved->function);
                         frame->file = to.arena.copy(view.resolved->file);
                         frame->line = view.resolved->line;
                         frame->inlined = view.resolved->inlined;
                         frame->linkage_name = to.arena.copy(view.resolved->linkage_name);
                       }};
  visit_node(view_, resolver_, node, visitor);
  CallId id = out_.stacks.calls.size();
  calls_[at] = {offset, index, id};
  if (id * 2 > calls_.size()) grow_calls();
  return id;
}

StackId StackTable::stack(uint32_t leaf, bool& cut) {
  const ledger::Node* nodes[kMaxFrames];
  uint32_t numbers[kMaxFrames];
  size_t depth = 0;
  uint32_t number = leaf;
  StackId stack = 0;
  // Outwards to a node that is entered already; a cycle ends at the deepest stack there can be.
  while (number != 0 && depth < kMaxFrames) {
    if (number < stacks_.size() && stacks_[number]) {
      stack = stacks_[number] - 1;
      break;
    }
    const ledger::Node* node = view_.node(number);
    if (!node) break;
    numbers[depth] = number;
    nodes[depth++] = node;
    number = __atomic_load_n(&node->parent, __ATOMIC_RELAXED);
  }
  cut = depth == kMaxFrames && number != 0;
  while (depth > 0) {
    CallId innermost = call(*nodes[--depth]);
    if (innermost && out_.stacks.nodes.add(arena_, {innermost, stack})) stack = out_.stacks.nodes.size();
    if (numbers[depth] < stacks_.size()) stacks_[numbers[depth]] = stack + 1;
  }
  return stack;
}

CallId StackTable::function_at(uint32_t module, uint64_t offset) {
  if (module == 0 && offset == 0) return 0;
  return call({0, module | ledger::kNodeExactPc, offset});
}

void StackTable::list_modules() {
  for (uint32_t index = 1; index < view_.module_count(); ++index) {
    const ledger::Module* record = view_.module(index);
    if (!record || !(module(index).is_used || (record->flags & ledger::kModuleMain))) continue;
    Module* out = out_.modules.add(arena_);
    if (!out) return;
    out->path = module(index).path.empty() ? view_.text(record->path) : module(index).path;
    out->build_id = module(index).build_id;
    out->base = record->base;
    out->size = record->end > record->base ? record->end - record->base : 0;
  }
}

}  // namespace unfreed::report
