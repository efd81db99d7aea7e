// The walker against GNU libunwind, frame by frame, over the kinds of stack that programs have.
#include "unwind/walk.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "support/beside.h"

namespace unfreed::unwind {
namespace {

constexpr size_t kMostFrames = 512;

/// Numbers objects as they are met.
uint32_t number_of(const Object& object) {
  static std::mutex mutex;
  static std::map<uintptr_t, uint32_t> numbers;
  std::lock_guard lock(mutex);
  return numbers.emplace(object.image.low, static_cast<uint32_t>(numbers.size() + 1)).first->second;
}

StackBounds own_bounds() {
  pthread_attr_t attributes;
  void* low;
  size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

struct Captured {
  std::vector<uintptr_t> ours;
  std::vector<uintptr_t> theirs;
  bool truncated = false;
};

/// Frames of this module are left out, as the runtime's own are.
uint32_t own_module = 0xffff;
const WalkedStack* g_last_stack;
size_t g_shared_first;  ///< what the first walk of a capture took over from the capture before

/// A walk that ends where it meets the thread's last one finds what a whole walk does.
void expect_same_again(const Registers& from, const StackBounds& bounds, std::span<const Frame> frames,
                       const SlotLog& log) {
  thread_local std::unique_ptr<WalkedStack> stack = std::make_unique<WalkedStack>();
  thread_local uint32_t own_module_before = own_module;
  if (own_module != own_module_before) stack->forget();
  own_module_before = own_module;
  g_last_stack = stack.get();
  for (int i = 0; i < 2; ++i) {
    SlotLog again;
    again.initial_bp = log.initial_bp;
    WalkResult result = walk_again(from, bounds, own_module, kMostFrames, again, *stack);
    if (i == 0) g_shared_first = stack->shared_frames();
    ASSERT_EQ(result.frames, frames.size());
    for (size_t frame = 0; frame < frames.size(); ++frame) {
      EXPECT_EQ(stack->frames()[frame].pc, frames[frame].pc) << frame;
      EXPECT_EQ(stack->frames()[frame].module, frames[frame].module) << frame;
      EXPECT_EQ(stack->frames()[frame].exact_pc, frames[frame].exact_pc) << frame;
    }
    EXPECT_EQ(again.verifiable, log.verifiable);
    ASSERT_EQ(again.size, log.size);
    for (size_t slot = 0; slot < log.size; ++slot) {
      EXPECT_EQ(again.slots[slot].address, log.slots[slot].address) << slot;
      EXPECT_EQ(again.slots[slot].value, log.slots[slot].value) << slot;
    }
  }
}

/// One stack, by both. `probe`: the stack is not the thread's own.
[[gnu::noinline]] Captured capture(bool probe = false) {
  Registers from = caller_registers();
  StackBounds bounds = probe ? probe_bounds(from.sp) : own_bounds();
  std::vector<Frame> frames(kMostFrames);
  std::vector<Slot> slots(2 * kMostFrames);
  SlotLog log;
  log.slots = slots.data();
  log.capacity = slots.size();
  log.initial_bp = &from.bp;
  WalkResult result = walk(from, bounds, own_module, frames, log);
  if (!probe) expect_same_again(from, bounds, std::span(frames).first(result.frames), log);
  Captured captured;
  captured.truncated = result.truncated;
  for (size_t i = 0; i < result.frames; ++i) captured.ours.push_back(frames[i].pc);
  // Step by step: unw_backtrace remembers frames by their pc, whatever has been unloaded since.
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  while (captured.theirs.size() < kMostFrames && unw_step(&cursor) > 0) {
    unw_word_t pc = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    captured.theirs.push_back(pc);
  }
  return captured;
}

/// libunwind may go a frame beyond the outermost (code without CFI, pc 0); ours must be whole up to there.
void expect_same(const Captured& captured, size_t at_least) {
  EXPECT_FALSE(captured.truncated);
  ASSERT_GE(captured.ours.size(), at_least);
  size_t common = std::min(captured.ours.size(), captured.theirs.size());
  for (size_t i = 0; i < common; ++i) EXPECT_EQ(captured.ours[i], captured.theirs[i]) << "frame " << i;
  EXPECT_LE(captured.theirs.size() - common, 1u);
  EXPECT_EQ(captured.ours.size(), common);
}

class Walk : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(prepare(number_of)); }
};

void keep() { asm volatile("" ::: "memory"); }

[[gnu::noinline]] Captured recurse(int depth) {
  Captured captured = depth ? recurse(depth - 1) : capture();
  keep();
  return captured;
}

TEST_F(Walk, SeesPlainCalls) { expect_same(recurse(0), 4); }
TEST_F(Walk, SeesDeepRecursion) { expect_same(recurse(200), 200); }

/// `turn`: the level at which it goes down by the other of two calls, whose frames are alike.
[[gnu::noinline]] Captured descend(size_t depth, size_t turn) {
  Captured captured;
  if (depth == 0) {
    captured = capture();
  } else if (depth == turn) {
    captured = descend(depth - 1, turn);
    keep();
  } else {
    captured = descend(depth - 1, turn);
  }
  keep();
  return captured;
}

TEST_F(Walk, EndsWhereItMeetsTheOneBefore) {
  constexpr size_t kDepth = 40;
  size_t before = SIZE_MAX;
  for (size_t turn : {0, 10, 30, 20, 39, 1, 25, 25}) {
    Captured captured = descend(kDepth, turn);
    expect_same(captured, kDepth);
    bool is_first = before == SIZE_MAX;
    before = is_first ? turn : before;
    if (is_first) continue;
    // Frames are alike from beyond the outermost one that went down by another call; rbp may take one or two more.
    size_t alike = captured.ours.size() - (turn == before ? 0 : std::max(turn, before) + 1);
    EXPECT_LE(g_shared_first, alike) << turn;
    EXPECT_GE(g_shared_first + 3, alike) << turn;
    EXPECT_GE(g_last_stack->shared_frames() + 3, captured.ours.size()) << "the same stack once more";
    before = turn;
  }
}

TEST_F(Walk, TakesNothingOverThatHasChanged) {
  auto stack = std::make_unique<WalkedStack>();
  uintptr_t outermost = 0;  // the address of the last word that a walk read
  auto shared = [&](size_t most_frames = kMostFrames) {
    Registers from = caller_registers();
    SlotLog log;
    log.initial_bp = &from.bp;
    walk_again(from, own_bounds(), 0xffff, most_frames, log, *stack);
    if (log.size > 0) outermost = log.slots[log.size - 1].address;
    return stack->shared_frames();
  };
  size_t first = shared(), again = shared();
  EXPECT_EQ(first, 0u);
  EXPECT_GT(again, 0u);
  EXPECT_LE(again, stack->frames().size());
  // A frame that does not fit: the whole walk is cut where it says.
  size_t all = stack->frames().size();
  EXPECT_EQ(shared(all - 1), 0u);
  EXPECT_EQ(stack->frames().size(), all - 1);
  // What was cut is not taken over either; what follows it is.
  EXPECT_EQ(shared(), 0u);
  EXPECT_GT(shared(), 0u);
  // That word, for a moment.
  ASSERT_NE(outermost, 0u);
  auto* word = reinterpret_cast<volatile uintptr_t*>(outermost);
  uintptr_t kept = *word;
  *word = kept ^ 0x10000000000;
  size_t changed = shared();
  *word = kept;
  EXPECT_EQ(changed, 0u);
  stack->forget();
  EXPECT_EQ(shared(), 0u);
}

TEST_F(Walk, LeavesOutAModuleInTheMiddle) {
  Object libc;
  ASSERT_TRUE(find_object(reinterpret_cast<uintptr_t>(&qsort), libc));
  static Captured captured;
  int numbers[2] = {2, 1};
  auto compare = [](const void*, const void*) {
    captured = capture();
    return 1;
  };
  qsort(numbers, 2, sizeof numbers[0], compare);
  size_t whole = captured.ours.size();
  own_module = number_of(libc);
  for (int i = 0; i < 2; ++i) qsort(numbers, 2, sizeof numbers[0], compare);
  own_module = 0xffff;
  EXPECT_LT(captured.ours.size(), whole);
  EXPECT_GT(captured.ours.size(), 4u);
}

TEST_F(Walk, CutsAStackThatIsDeeperThanWhatIsKept) {
  for (int i = 0; i < 2; ++i) {
    Captured captured = recurse(700);
    EXPECT_TRUE(captured.truncated);
    EXPECT_EQ(captured.ours.size(), kMostFrames);
    EXPECT_EQ(g_last_stack->shared_frames(), 0u);
  }
}

TEST_F(Walk, CutsAtTheRoomGiven) {
  std::vector<Frame> frames(3);
  SlotLog log;
  WalkResult result = walk(caller_registers(), own_bounds(), 0xffff, frames, log);
  EXPECT_EQ(result.frames, 3u);
  EXPECT_TRUE(result.truncated);
}

[[gnu::noinline]] Captured with_dynamic_frame(size_t bytes) {
  auto* block = static_cast<volatile char*>(__builtin_alloca(bytes));
  block[0] = 1;
  Captured captured = recurse(3);
  block[bytes - 1] = 2;
  return captured;
}
TEST_F(Walk, SeesFramesOfDynamicSize) { expect_same(with_dynamic_frame(rand() % 500 + 100), 6); }

[[gnu::noinline]] Captured with_realigned_frame(int depth) {
  alignas(128) volatile char block[256];
  block[depth] = 1;
  Captured captured = depth ? with_realigned_frame(depth - 1) : capture();
  block[0] = static_cast<char>(block[depth] + 1);
  return captured;
}
TEST_F(Walk, SeesFramesThatRealignTheirStack) { expect_same(with_realigned_frame(5), 7); }

Captured g_captured;

TEST_F(Walk, SeesThroughLibcCallbacks) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof(int), [](const void* a, const void* b) {
    g_captured = capture();
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  expect_same(g_captured, 5);
}

TEST_F(Walk, SeesOtherThreadsToTheirStart) {
  pthread_t thread;
  auto body = [](void*) -> void* {
    g_captured = recurse(10);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
  pthread_join(thread, nullptr);
  expect_same(g_captured, 12);
}

void on_signal(int) { g_captured = recurse(2); }

TEST_F(Walk, SeesThroughASignalFrame) {
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
  expect_same(g_captured, 6);
}

// A function of one instruction, which no processor has.
asm(R"(
  .text
  .type unfreed_test_fault, %function
unfreed_test_fault:
  .cfi_startproc
)"
#ifdef __x86_64__
    "ud2\n"
#else
    "udf #0\n"
#endif
    R"(
  .cfi_endproc
  .size unfreed_test_fault, . - unfreed_test_fault
)");
extern "C" void unfreed_test_fault();

TEST_F(Walk, SeesThroughASynchronousFault) {
  // The interrupted pc is the faulting instruction itself, the first of its function.
  static sigjmp_buf back;
  signal(SIGILL, [](int) {
    g_captured = capture();
    siglongjmp(back, 1);
  });
  if (sigsetjmp(back, 1) == 0) unfreed_test_fault();
  expect_same(g_captured, 4);
}

TEST_F(Walk, SeesTheAlternateSignalStackAndWhatItInterrupted) {
  std::vector<char> memory(64 * 1024);
  stack_t stack{memory.data(), 0, memory.size()};
  stack_t before;
  sigaltstack(&stack, &before);
  struct sigaction action {};
  action.sa_handler = [](int) { g_captured = capture(true); };
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR2, &action, nullptr);
  raise(SIGUSR2);
  sigaltstack(&before, nullptr);
  expect_same(g_captured, 5);
}

struct CaptureOnDestruction {
  ~CaptureOnDestruction() { g_captured = capture(); }
};
[[gnu::noinline]] void throw_through() {
  CaptureOnDestruction guard;
  throw 1;
}
TEST_F(Walk, SeesAnExceptionInFlight) {
  try {
    throw_through();
  } catch (int) {
  }
  // Frames from the landing pad's function out are the program's own.
  EXPECT_FALSE(g_captured.truncated);
  ASSERT_GE(g_captured.ours.size(), 3u);
  EXPECT_EQ(g_captured.ours,
            std::vector<uintptr_t>(g_captured.theirs.begin(),
                                   g_captured.theirs.begin() + static_cast<long>(g_captured.ours.size())));
}
TEST_F(Walk, SeesTheSameAfterAnExceptionAndALongjmp) {
  static jmp_buf back;
  if (setjmp(back) == 0) {
    std::function<void(int)> jump = [&](int depth) { depth ? jump(depth - 1) : longjmp(back, 1); };
    jump(5);
  }
  expect_same(recurse(1), 4);
}

TEST_F(Walk, SeesACoroutineToItsEntry) {
  static ucontext_t main_context, coroutine;
  std::vector<char> memory(256 * 1024);
  getcontext(&coroutine);
  coroutine.uc_stack = {memory.data(), 0, memory.size()};
  coroutine.uc_link = &main_context;
  makecontext(&coroutine, reinterpret_cast<void (*)()>(+[] { g_captured = capture(true); }), 0);
  swapcontext(&main_context, &coroutine);
  // libc's code at the bottom has no end mark, but nothing calls it.
  EXPECT_FALSE(g_captured.truncated);
  ASSERT_GE(g_captured.ours.size(), 1u);
  ASSERT_LE(g_captured.ours.size(), g_captured.theirs.size() + 1);
  for (size_t i = 0; i < std::min(g_captured.ours.size(), g_captured.theirs.size()); ++i)
    EXPECT_EQ(g_captured.ours[i], g_captured.theirs[i]);
}

TEST_F(Walk, TheSlotLogHoldsWhatTheStackHolds) {
  Registers from = caller_registers();
  std::vector<Frame> frames(kMostFrames);
  std::vector<Slot> slots(kMostFrames);
  SlotLog log;
  log.slots = slots.data();
  log.capacity = slots.size();
  log.initial_bp = &from.bp;
  WalkResult result = walk(from, own_bounds(), 0xffff, frames, log);
  ASSERT_GT(result.frames, 2u);
  ASSERT_GE(log.size, result.frames - 1);
  for (size_t i = 0; i < log.size; ++i) EXPECT_EQ(*reinterpret_cast<uintptr_t*>(slots[i].address), slots[i].value);
}

TEST_F(Walk, NeverReadsOutsideTheBounds) {
  // Any registers and any stack contents: the bounds are a page between two that must not be touched.
  std::vector<Frame> frames(64);
  auto* pages = static_cast<char*>(aligned_alloc(4096, 3 * 4096));
  srand(1);
  Dl_info info;
  ASSERT_TRUE(dladdr(reinterpret_cast<void*>(&qsort), &info));
  auto libc = reinterpret_cast<uintptr_t>(info.dli_fbase);
  for (int round = 0; round < 20000; ++round) {
    auto* words = reinterpret_cast<uintptr_t*>(pages + 4096);
    auto low = reinterpret_cast<uintptr_t>(words);
    for (size_t i = 0; i < 512; ++i) {
      unsigned choice = static_cast<unsigned>(rand()) % 4;
      words[i] = choice == 0   ? libc + static_cast<uintptr_t>(rand()) % 0x150000
                 : choice == 1 ? low + static_cast<uintptr_t>(rand()) % 4200
                 : choice == 2 ? static_cast<uintptr_t>(rand())
                               : 0;
    }
    Registers from{libc + 0x26000 + static_cast<uintptr_t>(rand()) % 0x120000,
                   low + static_cast<uintptr_t>(rand()) % 4096, low + static_cast<uintptr_t>(rand()) % 5000};
    Slot slots[64];
    SlotLog log;
    log.slots = slots;
    log.capacity = 64;
    walk(from, {low, low + 4096}, 0xffff, frames, log);
    for (size_t i = 0; i < log.size; ++i) {
      ASSERT_GE(slots[i].address, low);
      ASSERT_LE(slots[i].address + 8, low + 4096);
    }
  }
  free(pages);
}

/// Loads a module that lies beside this program, captures a stack through its function, unloads it. Where the function
/// was.
uintptr_t capture_through(const char* name) {
  void* module = dlopen(test::beside_this_test(name).c_str(), RTLD_NOW);
  EXPECT_NE(module, nullptr) << dlerror();
  if (!module) return 0;
  void* function = dlsym(module, "call_back");
  unw_flush_cache(unw_local_addr_space, 0, 0);
  reinterpret_cast<int (*)(void (*)())>(function)([] { g_captured = capture(); });
  dlclose(module);
  return reinterpret_cast<uintptr_t>(function);
}

TEST_F(Walk, SeesLibrariesThatDoNotLieWhereTheyWereLinkedTo) {
  // Both were linked to one place, so that the second cannot have it, and nothing lies where its addresses count from.
  void* first = dlopen(test::beside_this_test("callback_placed.so").c_str(), RTLD_NOW);
  ASSERT_NE(first, nullptr) << dlerror();
  uintptr_t second = capture_through("callback_placed_too.so");
  EXPECT_NE(second >> 40, 1u) << "it got its place";
  expect_same(g_captured, 5);
  forget_code();
  // A loader that does not say where an object begins leaves no way to its headers.
  prepare_objects(false);
  capture_through("callback_placed_too.so");
  EXPECT_TRUE(g_captured.truncated);
  prepare_objects();
  dlclose(first);
}

TEST_F(Walk, SeesAnotherLibraryWhereOneHasBeenUnloaded) {
  uintptr_t small = capture_through("callback_small.so");
  expect_same(g_captured, 5);
  forget_code();
  uintptr_t large = capture_through("callback_large.so");
  expect_same(g_captured, 5);
  EXPECT_EQ(small, large) << "they have to lie at the same address for this to be a test";
}

TEST_F(Walk, ForgettingCodeChangesTheGeneration) {
  uint32_t before = code_generation();
  forget_code();
  EXPECT_NE(code_generation(), before);
  expect_same(recurse(3), 5);
}

}  // namespace
}  // namespace unfreed::unwind
