#include "grade/root_parts.h"

#include <algorithm>

#include "arch/thread_block.h"
#include "track/thread_ranges.h"
#include "track/tracker.h"
#include "unwind/objects.h"
#include "unwind/walk.h"

namespace unfreed::grade {

using ledger::RootKind;

namespace {

constexpr size_t kMost = size_t{1} << 17, kMostBlocks = size_t{1} << 16, kMostFrames = 128,
                 kMostSlots = 4 * kMostFrames;
/// What glibc may put in front of a thread's variables.
constexpr uintptr_t kSurplusBytes = 2048;

struct WalkMemory {
  unwind::Frame frames[kMostFrames];
  unwind::Slot slots[kMostSlots];
};

}  // namespace

const RootParts::Known* RootParts::next_after(uintptr_t address) const {
  return std::upper_bound(known_, known_ + count_, address,
                          [](uintptr_t at, const Known& one) { return at < one.high; });
}

void RootParts::add(uintptr_t low, uintptr_t high, const RootPart& part) {
  if (low < high && count_ < kMost) known_[count_++] = {low, high, part};
}

/// Each frame reaches from where its callee returns to, to the same of its own.
void RootParts::add_frames(const ThreadAtRest& thread, const unwind::StackBounds& bounds) {
  auto* room = static_cast<WalkMemory*>(walk_memory_.reserve(sizeof(WalkMemory)));
  uintptr_t low = thread.sp ? thread.sp : bounds.low;
  auto part_of = [&](uintptr_t pc) {
    RootPart part;
    part.root = {RootKind::stack, thread.tid, pc};
    return part;
  };
  if (!room || !thread.walk_from.pc || !bounds.contains(thread.walk_from.sp, sizeof(uintptr_t)))
    return add(low, bounds.high, part_of(0));
  unwind::SlotLog log;
  log.slots = room->slots;
  log.capacity = kMostSlots;
  unwind::WalkResult walked =
      unwind::walk(thread.walk_from, bounds, track::g_tracker.runtime_module, room->frames, log);
  uintptr_t at = bounds.low;
  const unwind::Slot* slot = log.slots;
  const unwind::Slot* end = log.slots + log.size;
  for (size_t frame = 0; frame < walked.frames; ++frame) {
    uintptr_t top = bounds.high;
    if (frame + 1 < walked.frames) {
      while (slot != end && (slot->value != room->frames[frame + 1].pc || slot->address < at)) ++slot;
      if (slot == end) return add(at, bounds.high, part_of(0));
      top = slot->address + sizeof(uintptr_t);
    }
    // A return address may already belong to the next line, or to the next function.
    add(at, top, part_of(room->frames[frame].pc - !room->frames[frame].exact_pc));
    at = top;
  }
}

/// `around`: what memory is the thread's.
void RootParts::add_thread_variables(const MemoryMap& map, uintptr_t thread, int tid, Range around) {
  RootPart part;
  part.root = {RootKind::thread_variable, tid, 0};
  part.is_by_word = true;
  part.base = thread;
  uintptr_t low = std::max(around.low, arch::thread_memory_low(thread, thread_local_bytes_));
  const uintptr_t high = std::min(around.high, arch::thread_memory_high(thread, kThreadBytes, thread_local_bytes_));
  int found_tid = 0;
  if (arch::find_thread(thread, found_tid)) {
    each_key_group(map, thread, [&](size_t group, uintptr_t place) {
      Root root{RootKind::thread_key, tid, group * kKeyGroupBytes};
      if (group) return add_block(place, kKeyGroupBytes, root);
      add(low, place, part);
      low = place + kKeyGroupBytes;
      RootPart keys;
      keys.root = root;
      keys.is_by_word = true;
      keys.base = place;
      add(place, low, keys);
    });
    for (const ThreadLocals& locals : std::span(locals_).first(local_count_))
      if (uintptr_t block = thread_local_block(map, thread, locals))
        add_block(block, locals.bytes, {RootKind::thread_variable, tid, block_place(locals.number)});
  }
  add(low, high, part);
}

void RootParts::add_block(uintptr_t low, size_t bytes, const Root& root) {
  if (block_count_ == kMostBlocks) return;
  RootPart part;
  part.root = root;
  part.is_by_word = true;
  part.base = low - root.place;
  blocks_[block_count_++] = {{low, low + bytes}, part};
}

bool RootParts::collect(const MemoryMap& map, std::span<const ThreadAtRest> threads, const Range& libc,
                        const Range& loader) {
  known_ = memory_.reserve_array<Known>(kMost);
  blocks_ = block_memory_.reserve_array<ThreadBlock>(kMostBlocks);
  if (!known_ || !blocks_) return false;
  thread_local_bytes_ = kSurplusBytes;
  // Whatever state the loader's list is in.
  add(libc.low, libc.high, {RootRule::libc_data, {RootKind::libc, 0, 0}});
  if (loader.low != libc.low) add(loader.low, loader.high, {RootRule::libc_lists, {RootKind::libc, 0, 0}});
  unwind::any_object([&](const unwind::Object& object) {
    thread_local_bytes_ += unwind::thread_local_bytes(object);
    ThreadLocals locals;
    bool has_blocks = find_thread_locals(map, object, locals) && !locals.offset;
    if (has_blocks && local_count_ < kMostLocals) locals_[local_count_++] = locals;
    if (object.image.low == libc.low || object.image.low == loader.low) return false;
    RootPart part;
    part.root.kind = RootKind::variable;
    part.is_by_word = true;
    add(object.image.low, object.image.high, part);
    return false;
  });
  auto at_rest = [&](int tid) -> const ThreadAtRest* {
    for (const ThreadAtRest& thread : threads)
      if (thread.tid == tid) return &thread;
    return nullptr;
  };
  track::each_thread_range([&](const track::ThreadRange& range) {
    int tid = 0;
    const Mapping* mapping = map.find(range.thread);
    bool is_there = mapping && mapping->use == MappingUse::anonymous && mapping->writable &&
                    mapping->high - range.thread >= arch::kThreadBlockBytes;
    if (!is_there || !arch::find_thread(range.thread, tid) || tid <= 0) return;
    add_thread_variables(map, range.thread, tid, {range.low, range.high});
    if (const ThreadAtRest* thread = at_rest(tid))
      add_frames(*thread,
                 {std::max(range.low, mapping->low), arch::thread_memory_low(range.thread, thread_local_bytes_)});
  });
  uintptr_t main = track::g_tracker.main_thread;
  const Mapping* block = map.find(main);
  if (main && block)
    add_thread_variables(map, main, track::g_tracker.writer.header().main_tid, {block->low, block->high});
  for (const ThreadAtRest& thread : threads) {
    const Mapping* mapping = thread.sp ? map.find(thread.sp) : nullptr;
    if (mapping && mapping->use == MappingUse::stack) add_frames(thread, {mapping->low, mapping->high});
  }
  settle();
  return true;
}

/// Puts them in order; where two overlap the earlier one ends.
void RootParts::settle() {
  std::sort(known_, known_ + count_, [](const Known& a, const Known& b) { return a.low < b.low; });
  size_t kept = 0;
  for (size_t at = 0; at < count_; ++at) {
    Known one = known_[at];
    if (kept && known_[kept - 1].high > one.low) known_[kept - 1].high = one.low;
    if (kept && known_[kept - 1].low >= known_[kept - 1].high) --kept;
    known_[kept++] = one;
  }
  count_ = kept;
}

}  // namespace unfreed::grade
