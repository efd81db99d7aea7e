// Stack capture, by call frame information. What is one processor's alone is in arch/frames.h.
//
//     walk(registers, bounds, frames, log)
//        └─ row_for(pc) ── cache hit: a word
//                       └─ miss: find_object → find_row (.eh_frame) → cache
//
// Safety: every read of the stack is bounded by `bounds`; code and tables are read only inside loaded objects.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "unwind/frame.h"
#include "unwind/objects.h"
#include "unwind/walked_stack.h"

namespace unfreed::unwind {

/// Gives a loaded object its number (1 … 65,535; 0: no room). Called without any lock held, possibly by several threads
/// for the same object, possibly in a signal handler.
using ModuleNumber = uint32_t (*)(const Object& object);

/// Called once before any walk; allocates the row cache. False: no memory, walks see one frame.
bool prepare(ModuleNumber module_number);

/// Walks outward from `from`. Frames of module `own_module` (the runtime itself) are left out. Thread-safe,
/// async-signal-safe; keeps errno.
WalkResult walk(const Registers& from, const StackBounds& bounds, uint32_t own_module, std::span<Frame> frames,
                SlotLog& log);

/// The same, for stacks that a thread captures one after another on its own stack: the walk ends as soon as it meets
/// the previous one. At most `most_frames`; frames and words then belong to the stack. Reads `initial_bp` of `log` and
/// fills in the rest. If the code has changed since the last call, the stack must have been forgotten.
WalkResult walk_again(const Registers& from, const StackBounds& bounds, uint32_t own_module, size_t most_frames,
                      SlotLog& log, WalkedStack& stack);

/// May a signal handler be among the callers? False: the stack, which is the thread's own, begins with a plain chain of
/// calls. So no function below that calls nothing of the program's can have been interrupted in the middle.
bool is_called_by_handler(const Registers& from, const StackBounds& bounds);
/// The calling thread may have left a walk in the middle (by a jump out of a signal handler), and is in none now.
void end_walk_left_behind();
/// In a fork child: no walk is in progress.
void reset_walks_after_fork();

/// Code has been unloaded: forgets all rows. Anything derived from pcs alone is stale if code_generation() has
/// changed.
void forget_code();
extern std::atomic<uint32_t> g_code_generation;
inline uint32_t code_generation() { return g_code_generation.load(std::memory_order_relaxed); }

/// Walks through other threads' stacks meet code that may be unloaded meanwhile. They are made between these two;
/// `begin` gives −1 while another thread unloads a library. Both are async-signal-safe.
int begin_reading_foreign_code();
void end_reading_foreign_code(int place);
/// Around the unloading of a library: waits for such a walk, which is short, to end. The unloading may never end: a
/// library's destructor may end the process, and a fork child has no thread that would end it.
int begin_unloading();
void end_unloading(int place);
void reset_unloading_after_fork();

/// How far the memory from `sp` upward is readable without a gap, at most so many pages: bounds for a stack whose
/// bounds are unknown (coroutines, alternate signal stacks). One system call, 0.3 µs a page.
inline constexpr size_t kMostProbedPages = 64;
StackBounds probe_bounds(uintptr_t sp, size_t most_pages = kMostProbedPages);

}  // namespace unfreed::unwind
