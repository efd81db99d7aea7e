#include "cli/live_stacks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/syscall.h"
#include "cli/ledger_files.h"
#include "elf/opened.h"
#include "ledger/composer.h"
#include "names/elf_symbols.h"
#include "trace/ledger_stacks.h"
#include "trace/module_image.h"
#include "unwind/waiting_thread.h"
#include "unwind/walk.h"

namespace unfreed::cli {

namespace {

constexpr size_t kMostThreads = 256;
/// A thread that runs is looked at again: most run for a moment and wait again.
constexpr int kMostLooks = 10;
constexpr useconds_t kBetweenLooksUs = 2000;

/// A module of the process; its image is read when a stack first leads into it.
struct PlacedModule {
  uint32_t number = 0;  ///< in the ledger
  uintptr_t start = 0;  ///< in the process
  uintptr_t end = 0;
  uintptr_t bias = 0;
  std::string path;
  bool loaded = false;
  trace::ModuleImage image;
};

/// The walker asks a plain function: these are the modules of the one process that is looked at.
std::vector<PlacedModule>* g_modules;

/// The modules by where they lie.
std::vector<PlacedModule> list_modules(const ledger::View& view, int pid) {
  std::vector<PlacedModule> modules;
  std::string root = process_folder(pid) + "/root";
  for (uint32_t number = 1; number < view.module_count(); ++number) {
    const ledger::Module* module = view.module(number);
    if (!module || module->start >= module->end) continue;
    PlacedModule& placed = modules.emplace_back();
    placed.number = number;
    placed.start = module->start;
    placed.end = module->end;
    placed.bias = module->base;
    placed.path = root + std::string(view.text(module->path));
  }
  return modules;
}

bool find_module(uintptr_t pc, unwind::Object& out) {
  // A module that was loaded later comes later in the table: of two at one address it is the one that is there now.
  for (auto placed = g_modules->rbegin(); placed != g_modules->rend(); ++placed) {
    if (pc < placed->start || pc >= placed->end) continue;
    if (!placed->loaded) {
      placed->loaded = true;
      elf::Opened opened(placed->path.c_str());
      if (!opened || !placed->image.read(opened.bytes(), placed->bias)) placed->image = trace::ModuleImage();
    }
    return placed->image.find(pc, out);
  }
  return false;
}

uint32_t module_number(const unwind::Object& object) {
  for (const PlacedModule& placed : *g_modules)
    if (placed.image.object().image.low == object.image.low) return placed.number;
  return 0;
}

constexpr size_t kMostFrames = 512;
constexpr size_t kUsualFrames = 128;

/// What a stack is read into.
struct Work {
  std::byte stack[unwind::kMostWaitingBytes];
  unwind::Frame frames[kMostFrames];
  ledger::FrameKey keys[kMostFrames];
};

/// Walks the stack of one thread into its record.
unwind::WaitingWalk take_stack(const ledger::View& view, ledger::Composer& composer, int pid,
                               ledger::ThreadRecord& record, Work& work) {
  uint32_t depth = view.header().depth;
  std::span<unwind::Frame> frames =
      std::span(work.frames).first(depth ? std::min<size_t>(depth, kMostFrames) : kUsualFrames);
  unwind::WalkResult walked;
  unwind::WaitingThread thread{pid, record.tid, record.stack_low, record.stack_high};
  unwind::WaitingWalk result = walk_waiting(thread, work.stack, 0, frames, walked);
  if (result != unwind::WaitingWalk::done) return result;
  for (size_t at = 0; at < walked.frames; ++at) {
    const ledger::Module* module = frames[at].module ? view.module(frames[at].module) : nullptr;
    work.keys[at] = {(module ? frames[at].module : 0) | (frames[at].exact_pc ? ledger::kNodeExactPc : 0),
                     frames[at].pc - (module ? module->base : 0)};
  }
  bool truncated = walked.truncated;
  record.current_node = composer.stack(std::span(work.keys).first(walked.frames), truncated);
  record.current_truncated = truncated;
  record.current_ns = base::monotonic_ns();
  return result;
}

}  // namespace

void take_goroutines(ledger::Copy& copy, int pid) {
  const ledger::Header& header = copy.view().header();
  if (!(header.flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagTraced)) return;
  ledger::Composer composer(copy.writer());
  if (!composer.prepare(ledger::Existing::left_alone)) return;
  trace::CodeSpace code(pid);
  trace::LedgerStacks stacks(code, composer);
  trace::take_goroutines(stacks, copy.writer(), pid, header.depth ? header.depth : kUsualFrames);
}

std::optional<std::string> take_live_stacks(ledger::Copy& copy, int pid, LiveStacks which) {
  std::vector<PlacedModule> modules = list_modules(copy.view(), pid);
  g_modules = &modules;
  unwind::set_object_finder(find_module);
  static const bool can_walk = unwind::prepare(module_number);
  ledger::Composer composer(copy.writer());
  bool prepared = can_walk && composer.prepare(ledger::Existing::left_alone);
  unwind::forget_code();
  std::vector<ledger::ThreadRecord*> wanted;
  uint64_t count = std::min<uint64_t>(copy.view().thread_count(), kMostThreads);
  for (uint64_t index = 0; prepared && index < count; ++index) {
    auto* record = copy.writer().touch<ledger::ThreadRecord>(ledger::SectionId::threads, index);
    if (!record || record->state.load() != static_cast<uint32_t>(ledger::ThreadState::running)) continue;
    if (which == LiveStacks::missing && record->current_ns != 0) continue;
    record->current_ns = 0;
    wanted.push_back(record);
  }
  bool refused = false;
  auto work = std::make_unique<Work>();
  for (int look = 0; look < kMostLooks && !wanted.empty(); ++look) {
    if (look > 0) usleep(kBetweenLooksUs);
    std::erase_if(wanted, [&](ledger::ThreadRecord* record) {
      unwind::WaitingWalk result = take_stack(copy.view(), composer, pid, *record, *work);
      refused = refused || result == unwind::WaitingWalk::refused;
      return result != unwind::WaitingWalk::moves;
    });
  }
  g_modules = nullptr;
  unwind::set_object_finder(nullptr);
  if (refused) return "the kernel refused access to its threads: where they are blocked is missing";
  return {};
}

}  // namespace unfreed::cli
