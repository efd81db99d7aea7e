#include "track/sites.h"

#include <algorithm>
#include <atomic>

#include "base/syscall.h"
#include "ledger/interning.h"
#include "track/counters.h"
#include "track/libc_owned.h"
#include "track/modules.h"
#include "track/operator_new.h"
#include "track/python_frames.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::track {

using ledger::Dropped;
using ledger::Kind;
using ledger::SectionId;

namespace {

constinit std::atomic<bool> g_is_any_within_libc;
constinit ledger::StackTree g_stacks;
constinit ledger::SiteTable g_sites;

using Frames = std::span<const unwind::Frame>;

ledger::FrameKey key_of(const unwind::Frame& frame) {
  uint64_t base = frame.module ? g_tracker.writer.at<ledger::Module>(SectionId::modules, frame.module)->base : 0;
  return {frame.module | (frame.exact_pc ? ledger::kNodeExactPc : 0), frame.pc - base};
}

/// Follows frames (innermost first) from `node` as far as they have their nodes; leaves the others in `frames`.
/// Calls `note(frame, node)` for each, from the outermost inwards.
template <class Note>
uint32_t follow_known(uint32_t node, Frames& frames, Note note) {
  while (!frames.empty()) {
    uint32_t known = g_stacks.find_child(g_tracker.writer, node, key_of(frames.back()));
    if (!known) break;
    note(frames.back(), node = known);
    frames = frames.first(frames.size() - 1);
  }
  return node;
}

/// The innermost node of frames on top of `node`.
template <class Note>
uint32_t make_all(uint32_t node, Frames frames, bool& truncated, Note note) {
  for (size_t left = frames.size(); left > 0; --left) {
    uint32_t made = g_stacks.make_child(g_tracker.writer, node, key_of(frames[left - 1]));
    if (!made) {
      truncated = true;
      break;
    }
    note(frames[left - 1], node = made);
  }
  return node;
}

/// Where a walk may read of a stack that is not the thread's own.
unwind::StackBounds foreign_bounds(uintptr_t sp, size_t most_pages) {
  return {sp, unwind::probe_bounds(sp, most_pages).high};
}
/// Most stacks of coroutines end within so many pages.
constexpr size_t kFewPages = 4;

/// Without the thread's state (a signal handler in the middle of a verb, a thread at its end): a short stack will do.
constexpr size_t kShortStack = 64;

}  // namespace

bool prepare_sites() {
  return g_stacks.prepare(g_tracker.writer, ledger::Existing::left_alone) && g_sites.prepare(g_tracker.writer);
}

void reset_sites_after_fork() {
  g_stacks.reset_lock_after_fork();
  reset_python_frames_after_fork();
}

bool is_any_site_within_libc() { return g_is_any_within_libc.load(std::memory_order_relaxed); }

uint32_t intern_stack(std::span<const unwind::Frame> frames, bool& truncated) {
  auto ignore = [](const unwind::Frame&, uint32_t) {};
  uint32_t node = follow_known(0, frames, ignore);
  return make_all(node, frames, truncated, ignore);
}

namespace {

/// What the stack walked last has taken over from the one before, which is most of its outer frames: that part's
/// innermost node, and `frames` without it.
uint32_t share_walked(ThreadState& state, Frames& frames) {
  auto most = static_cast<uint32_t>(std::min(state.walked.shared_frames(), frames.size()));
  state.walked_count = std::min(state.walked_count, most);
  frames = frames.first(frames.size() - state.walked_count);
  return state.walked_count ? state.walked_nodes[state.walked_count - 1] : 0;
}

/// A stack: the frames that are kept, and further ones where those are few to judge by.
struct Captured {
  Captured(Frames walked, bool walk_truncated)
      : frames(walked.first(std::min<size_t>(walked.size(), g_tracker.depth))),
        truncated(walk_truncated || walked.size() > frames.size()),
        judged(walked),
        judged_truncated(walk_truncated) {}
  Frames frames;
  bool truncated;
  Frames judged;
  bool judged_truncated;
};
size_t most_frames_walked() { return std::max<size_t>(g_tracker.depth, kFramesJudged); }

uint8_t owner_flags(Kind kind, const Captured& stack) {
  if (kind == Kind::mapping && !stack.judged.empty() && is_allocator_module(stack.judged[0].module))
    return ledger::kSiteLibc;
  if (kind != Kind::heap) return 0;
  switch (heap_owner(stack.judged, stack.judged_truncated)) {
    case HeapOwner::libc:
      return ledger::kSiteLibc;
    case HeapOwner::undecided:
      g_is_any_within_libc.store(true, std::memory_order_relaxed);
      return ledger::kSiteWithinLibc;
    default:
      return 0;
  }
}

/// The innermost node of a stack of which `inside` frames are inside of Python's loop: its Python frames stand before
/// the loop's own.
uint32_t make_python_stack(Frames frames, size_t inside, bool& truncated) {
  PythonFrame python[kMostPythonFrames];
  auto interrupted = [](const unwind::Frame& frame) { return frame.exact_pc; };
  bool is_interrupted = std::any_of(frames.begin(), frames.begin() + static_cast<ptrdiff_t>(inside) + 1, interrupted);
  size_t count = read_python_frames(python, is_interrupted, truncated);
  uint32_t node = intern_stack(frames.subspan(inside), truncated);
  for (size_t left = count; left > 0; --left) {
    const PythonFrame& frame = python[left - 1];
    uint32_t made =
        g_stacks.make_child(g_tracker.writer, node,
                            {ledger::kNodeSource | ledger::kNodeExactPc, uint64_t{frame.line} << 32 | frame.function});
    if (!made) {
      truncated = true;
      break;
    }
    node = made;
  }
  return make_all(node, frames.first(inside), truncated, [](const unwind::Frame&, uint32_t) {});
}

/// `state`: if the frames are those of its own stack, walked last; else null.
uint32_t site_for(ThreadState* state, Kind kind, uint16_t hook, const Captured& stack) {
  bool truncated = stack.truncated;
  auto note = [state](const unwind::Frame&, uint32_t node) {
    if (state) state->walked_nodes[state->walked_count++] = node;
  };
  auto key_at = [&](uint32_t node) {
    return ledger::SiteKey{static_cast<uint8_t>(kind), static_cast<uint8_t>(truncated ? ledger::kSiteTruncated : 0),
                           hook, node};
  };
  Frames left = stack.frames;
  uint32_t node = state ? share_walked(*state, left) : 0;
  node = follow_known(node, left, note);
  if (left.empty())
    if (uint32_t known = g_sites.find(g_tracker.writer, g_stacks, key_at(node))) return known;
  uint8_t owner = owner_flags(kind, stack);
  node = make_all(node, left, truncated, note);
  return g_sites.make(g_tracker.writer, g_stacks, key_at(node), owner, base::monotonic_ns());
}

/// The same for a stack that `log` has recorded. Python's frames are not among the words that it is recognised by.
uint32_t site_for_walked(ThreadState* state, unwind::SlotLog& log, Kind kind, uint16_t hook, const Captured& stack) {
  ptrdiff_t inside = find_python_loop(kind, stack.frames);
  if (inside < 0) return site_for(state, kind, hook, stack);
  log.verifiable = false;
  if (state) state->walked_count = 0;
  bool truncated = stack.truncated;
  uint32_t node = make_python_stack(stack.frames, static_cast<size_t>(inside), truncated);
  ledger::SiteKey key{static_cast<uint8_t>(kind), static_cast<uint8_t>(truncated ? ledger::kSiteTruncated : 0), hook,
                      node};
  return g_sites.make(g_tracker.writer, g_stacks, key, 0, base::monotonic_ns());
}

void count_failed(const unwind::WalkResult& walked) {
  if (walked.frames <= 1 && walked.truncated) g_tracker.writer.drop(Dropped::unwind_failed);
}

/// Walks the thread's own stack and interns it. `log` is filled in.
uint32_t walk_own_to_site(ThreadState& state, unwind::SlotLog& log, Kind kind, uint16_t hook,
                          const unwind::Registers& from) {
  unwind::WalkResult walked = unwind::walk_again(from, {from.sp, state.bounds.high}, g_tracker.runtime_module,
                                                 most_frames_walked(), log, state.walked);
  count_failed(walked);
  Frames frames = state.walked.frames();
  if (kind == Kind::heap) skip_operator_new(frames, hook);
  Captured stack(frames, walked.truncated);
  if (stack.frames.size() == stack.judged.size()) return site_for_walked(&state, log, kind, hook, stack);
  state.walked_count = 0;
  return site_for_walked(nullptr, log, kind, hook, stack);
}

/// Walks any other stack and interns it. `log` is filled in where it has room.
uint32_t walk_to_site(std::span<unwind::Frame> frames, unwind::SlotLog& log, Kind kind, uint16_t hook,
                      const unwind::Registers& from) {
  frames = frames.first(std::min<size_t>(frames.size(), most_frames_walked()));
  unwind::WalkResult walked;
  const unwind::SlotLog empty = log;
  for (size_t pages : {kFewPages, unwind::kMostProbedPages}) {
    log = empty;
    walked = unwind::walk(from, foreign_bounds(from.sp, pages), g_tracker.runtime_module, frames, log);
    if (!walked.truncated) break;
  }
  count_failed(walked);
  // A stack that was walked by guessing can be recognised only where every word may be read (the thread's own stack);
  // elsewhere only stacks walked by unwind information can.
  if (walked.followed_guess) log.verifiable = false;
  Frames kept = frames.first(walked.frames);
  if (kind == Kind::heap) skip_operator_new(kept, hook);
  return site_for_walked(nullptr, log, kind, hook, {kept, walked.truncated});
}

/// Adds a stack to those that the thread recognises. Only heap blocks are counted per thread, and singly only if the
/// heap is not sampled.
void remember_recent(ThreadState& state, const unwind::Registers& from, Kind kind, uint16_t hook, uint32_t site,
                     const unwind::SlotLog& log) {
  if (!log.verifiable || log.depends_on_bp || log.overflowed || from.exact_pc) return;
  bool is_counted = kind == Kind::heap && g_tracker.heap_use == HeapUse::every_block;
  ledger::Cell* cell = is_counted ? cell_of(state, site) : nullptr;
  if (cell || !is_counted) state.recent.remember({from.pc, from.sp, memo_tag(kind, hook)}, site, cell, log);
}

uint32_t capture_with_state(ThreadState& state, Kind kind, uint16_t hook, const unwind::Registers& from) {
  uint32_t generation = g_fork_page.generation.load(std::memory_order_relaxed);
  if (state.generation != generation) {
    forget_stacks(state);
    state.generation = generation;
  }
  unwind::SlotLog log;
  const uintptr_t* saved_bp = unwind::saved_bp(from);
  if (saved_bp && *saved_bp == from.bp) log.initial_bp = saved_bp;
  if (state.is_own_stack(from.sp)) {
    uint32_t site = walk_own_to_site(state, log, kind, hook, from);
    remember_recent(state, from, kind, hook, site, log);
    return site;
  }
  uint32_t tag = memo_tag(kind, hook);
  StackMemo::Searches miss;
  if (uint32_t known = state.foreign.find(from, tag, log.initial_bp, miss)) return known;
  log.slots = state.walked.slot_room().data();
  log.capacity = state.walked.slot_room().size();
  uint32_t site = walk_to_site(state.walked.frame_room(), log, kind, hook, from);
  state.foreign.remember(from, tag, miss, site, log);
  return site;
}

// Out of line, for the sake of the registers that capture_site need not save.
[[gnu::noinline]] uint32_t capture_anew(Kind kind, uint16_t hook, const unwind::Registers& from) {
  end_use_left_behind(from);
  StateUse use;
  return use.state() ? capture_with_state(*use.state(), kind, hook, from) : capture_without_state(kind, hook, from);
}

}  // namespace

uint32_t capture_without_state(Kind kind, uint16_t hook, const unwind::Registers& from) {
  unwind::Frame frames[kShortStack];
  unwind::SlotLog log;
  return walk_to_site(frames, log, kind, hook, from);
}

void end_use_left_behind(const unwind::Registers& from) {
  ThreadState* state = t_local.state;
  if (!t_local.busy || !state) [[likely]]
    return;
  // On another stack the verb may be waiting below a handler that has switched stacks.
  if (!state->is_own_stack(t_local.busy_frame) || !state->is_own_stack(from.sp)) return;
  if (unwind::is_called_by_handler(from, {from.sp, state->bounds.high})) return;
  unwind::end_walk_left_behind();
  forget_stacks(*state);
  t_local.busy = 0;
  refresh_active();
}

uint32_t recall_or_capture(ThreadState& state, Kind kind, uint16_t hook, const unwind::Registers& from) {
  Recalled known;
  return recall(state, kind, hook, from, known) ? known.site : capture_with_state(state, kind, hook, from);
}

uint32_t capture_site(Kind kind, uint16_t hook, const unwind::Registers& from) {
  Recalled known;
  bool is_known = t_local.state && !t_local.busy && recall(*t_local.state, kind, hook, from, known);
  return is_known ? known.site : capture_anew(kind, hook, from);
}

uint32_t capture_node(Kind kind, const unwind::Registers& from, bool& truncated) {
  StateUse use;
  unwind::Frame frames[kShortStack];
  unwind::SlotLog log;
  const ThreadState* state = use.state();
  bool is_own = state && state->is_own_stack(from.sp);
  unwind::StackBounds bounds =
      is_own ? unwind::StackBounds{from.sp, state->bounds.high} : foreign_bounds(from.sp, unwind::kMostProbedPages);
  unwind::WalkResult walked =
      unwind::walk(from, bounds, g_tracker.runtime_module,
                   std::span(frames).first(std::min<size_t>(kShortStack, g_tracker.depth)), log);
  truncated = walked.truncated;
  Frames kept = std::span(frames).first(walked.frames);
  ptrdiff_t inside = find_python_loop(kind, kept);
  return inside < 0 ? intern_stack(kept, truncated) : make_python_stack(kept, static_cast<size_t>(inside), truncated);
}

}  // namespace unfreed::track
