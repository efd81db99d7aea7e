#include "grade/exclusions.h"

#include <algorithm>

#include "arch/thread_block.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "grade/allocator_memory.h"
#include "track/thread_ranges.h"
#include "track/tracker.h"
#include "unwind/objects.h"

namespace unfreed::grade {

using track::g_tracker;

namespace {

/// What a function may use below its stack pointer (System V ABI, AMD64, 3.2.2); other processors have none, or less.
constexpr uintptr_t kRedZone = 128;

constexpr size_t kMostOwn = 4096;
constexpr size_t kMostBesideBlocks = size_t{1} << 16;
constexpr size_t kArenaUnit = size_t{64} << 20;

/// musl's malloc also gives out what is left of the pages of programs' and libraries' variables.
#ifdef __GLIBC__
constexpr bool kIsHeapAmongVariables = false;
#else
constexpr bool kIsHeapAmongVariables = true;
#endif

std::span<const Block> blocks_in(std::span<const Block> all, const Mapping& mapping) {
  auto before = [](const Block& block, uintptr_t address) { return block.start < address; };
  const Block* end = all.data() + all.size();
  const Block* first = std::lower_bound(all.data(), end, mapping.low, before);
  return {first, std::lower_bound(first, end, mapping.high, before)};
}

}  // namespace

Range image_around(uintptr_t address) {
  unwind::Object object;
  return unwind::find_object(address, object) ? Range{object.image.low, object.image.high} : Range{0, 0};
}

bool Exclusions::find_own() {
  if (!own_.prepare(kMostOwn)) return false;
  Range image = image_around(reinterpret_cast<uintptr_t>(&g_tracker));
  own_.add(image.low, image.high);
  base::OwnMapping own;
  for (size_t at = 0; base::own_mapping(at, own); ++at) own_.add(own.address, own.address + own.bytes);
  base::AddressRange passing;
  for (size_t at = 0; base::passing_memory(at, passing); ++at) own_.add(passing.low, passing.high);
  auto ledger = reinterpret_cast<uintptr_t>(g_tracker.writer.base());
  own_.add(ledger, ledger + g_tracker.writer.header().file_bytes);
  own_.sort();
  return !own_.is_full();
}

bool Exclusions::may_be_heap(const Mapping& mapping) const {
  bool is_memory = mapping.use == MappingUse::anonymous || mapping.use == MappingUse::heap ||
                   (kIsHeapAmongVariables && mapping.use == MappingUse::file && mapping.writable);
  if (!mapping.readable || mapping.shared || !is_memory) return false;
  // The kernel makes one of neighbours: what begins with the runtime's own memory may end with the program's.
  bool has_others = false;
  own_.each_gap({mapping.low, mapping.high}, [&](uintptr_t, uintptr_t) { has_others = true; });
  return has_others;
}

bool Exclusions::prepare(size_t most_blocks) { return left_out_.prepare(kMostBesideBlocks + most_blocks); }

bool Exclusions::collect(HeapGraph& graph, const Range& libc) {
  for (const Range& own : own_.all()) left_out_.add(own.low, own.high);
  Scratch::each([this](uintptr_t low, uintptr_t high) { left_out_.add(low, high); });
  add_stacks();
  for (const Mapping& mapping : map_.all())
    if (may_be_heap(mapping))
      add_heap(mapping, blocks_in(graph.blocks(), mapping));
    else if (mapping.low >= libc.low && mapping.low < libc.high)
      add_main_arena(map_, mapping, left_out_);
  left_out_.sort();
  return !left_out_.is_full();
}

/// Below stack pointers, and stacks of threads that have ended, which libc keeps for others to come.
void Exclusions::add_stacks() {
  track::each_thread_range([&](const track::ThreadRange& range) {
    int tid = 0;
    if (!find_thread(range.thread, tid)) return;
    if (tid <= 0) return left_out_.add(range.low, range.high);
    for (const ThreadAtRest& thread : threads_)
      if (thread.tid == tid && thread.sp >= range.low && thread.sp < range.high)
        left_out_.add(range.low, thread.sp - kRedZone);
  });
  for (const ThreadAtRest& thread : threads_) {
    const Mapping* mapping = thread.sp ? map_.find(thread.sp) : nullptr;
    if (mapping && mapping->use == MappingUse::stack) left_out_.add(mapping->low, thread.sp - kRedZone);
  }
}

/// Is there still what libc keeps of a thread? Then whose, as arch::find_thread() has it.
bool Exclusions::find_thread(uintptr_t thread, int& tid) const {
  const Mapping* mapping = map_.find(thread);
  bool is_there = mapping && mapping->use == MappingUse::anonymous && mapping->writable &&
                  mapping->high - thread >= arch::kThreadBlockBytes;
  return is_there && arch::find_thread(thread, tid);
}

/// The allocator's memory. What lies in it and was not seen to be allocated, in a fork child, during realloc or from
/// before the library's start, may be in use, as may what lies beside blocks among variables: of that only the known
/// blocks are left out.
void Exclusions::add_heap(const Mapping& mapping, std::span<const Block> blocks) {
  bool any_moves_block =
      std::any_of(threads_.begin(), threads_.end(), [](const ThreadAtRest& thread) { return thread.moves_block; });
  if (kIsHeapAmongVariables || g_tracker.has_unseen_past || any_moves_block) {
    for (const Block& block : blocks)
      if (!(block.flags & kBlockHandle)) left_out_.add(block.start, block.start + block.bytes);
  } else if (g_tracker.writer.header().flags.load() & ledger::kHeaderFlagForeignMalloc) {
    for (const Block& block : blocks)
      if (!(block.flags & kBlockHandle)) add_surroundings(block, mapping, left_out_);
  } else if (mapping.use == MappingUse::heap) {
    add_main_heap(mapping, blocks);
  } else {
    add_arenas_and_blocks(mapping, blocks);
  }
}

void Exclusions::add_main_heap(const Mapping& mapping, std::span<const Block> blocks) {
  uintptr_t early = std::clamp(g_tracker.early_heap_end, mapping.low, mapping.high);
  left_out_.add(early, mapping.high);
  for (const Block& block : blocks) {
    if (block.start >= early) break;
    left_out_.add(block.start, block.start + block.bytes);
  }
}

void Exclusions::add_arenas_and_blocks(const Mapping& mapping, std::span<const Block> blocks) {
  RangeList arenas;
  if (!mapping.writable || !arenas.prepare((mapping.high - mapping.low) / kArenaUnit + 1)) return;
  add_arenas(mapping, arenas);
  for (const Range& arena : arenas.all()) left_out_.add(arena.low, arena.high);
  const Range* arena = arenas.all().data();
  const Range* end = arena + arenas.all().size();
  for (const Block& block : blocks) {
    while (arena != end && arena->high <= block.start) ++arena;
    if (arena != end && block.start >= arena->low) continue;
    if (!add_large_block(block, mapping, left_out_)) left_out_.add(block.start, block.start + block.bytes);
  }
}

}  // namespace unfreed::grade
