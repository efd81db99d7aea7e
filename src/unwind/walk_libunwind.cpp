// The portable walker: GNU libunwind, loaded privately (dlopen with RTLD_LOCAL) so that its _Unwind_* symbols do not
// replace the process's own exception unwinder. Slower than walk_cfi.cpp and without memo; for architectures that one
// lacks.
#include <dlfcn.h>

#include <atomic>

#include "unwind/owning_call.h"
#include "unwind/walk.h"

namespace unfreed::unwind {

constinit std::atomic<uint32_t> g_code_generation{1};

namespace {

using Backtrace = int (*)(void** buffer, int size);
Backtrace g_backtrace;
ModuleNumber g_module_number;

uint32_t module_of(uintptr_t pc) {
  Object object;
  return find_object(pc, object) ? g_module_number(object) : 0;
}

}  // namespace

bool prepare(ModuleNumber module_number) {
  g_module_number = module_number;
  prepare_objects();
  if (void* library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL))
    g_backtrace = reinterpret_cast<Backtrace>(dlsym(library, "unw_backtrace"));
  return g_backtrace != nullptr;
}

WalkResult walk(const Registers& from, const StackBounds&, uint32_t own_module, std::span<Frame> frames, SlotLog& log) {
  constexpr int kMostFrames = 576;  // 512 and the runtime's own
  log.verifiable = false;
  WalkResult result;
  void* pcs[kMostFrames];
  int count = g_backtrace ? g_backtrace(pcs, kMostFrames) : 0;
  bool inside = true;  // still in the frames between unw_backtrace and the hook's caller
  for (int i = 0; i < count; ++i) {
    auto pc = reinterpret_cast<uintptr_t>(pcs[i]);
    if (pc == from.pc) inside = false;
    if (inside) continue;
    uint32_t module = module_of(pc - 1);
    if (module != 0 && module == own_module) {
      if (result.frames && is_owning_call(pc)) frames[result.frames - 1].is_owned = true;
      continue;
    }
    if (result.frames == frames.size()) {
      result.truncated = true;
      break;
    }
    frames[result.frames++] = {pc, module, false};
  }
  if (result.frames == 0 && !frames.empty()) {
    frames[result.frames++] = {from.pc, module_of(from.pc - 1), from.exact_pc};
    result.truncated = true;
  }
  return result;
}

WalkResult walk_again(const Registers& from, const StackBounds& bounds, uint32_t own_module, size_t most_frames,
                      SlotLog& log, WalkedStack& stack) {
  WalkResult result = walk(from, bounds, own_module, stack.frame_room().first(most_frames), log);
  stack.begin();
  stack.end(result.frames, 0, false, false);
  log.slots = stack.slots().data();
  log.size = 0;
  return result;
}

bool is_called_by_handler(const Registers&, const StackBounds&) { return true; }
void end_walk_left_behind() {}
void reset_walks_after_fork() {}

void forget_code() { g_code_generation.fetch_add(1, std::memory_order_relaxed); }
StackBounds probe_bounds(uintptr_t sp, size_t) { return {sp, sp}; }

}  // namespace unfreed::unwind
