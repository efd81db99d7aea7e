#include "track/libc_owned.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <cstdlib>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/tracked_process.h"
#include "track/modules.h"

// A function of this program that bears a name of libc's.
extern "C" [[gnu::visibility("default")]] void openlog(const char*, int, int) {}

// Calls that are never made: what a stack has of them is where they return to.
#if defined(__x86_64__)
#define CALLS(name) "call " #name "@PLT\n"
#elif defined(__aarch64__)
#define CALLS(name) "bl " #name "\n"
#endif
#define CALL_OF(name) ".globl after_" #name "\n.hidden after_" #name "\n" CALLS(name) "after_" #name ":\n"
asm(".text\n" CALL_OF(setenv) CALL_OF(qsort) CALL_OF(openlog) "nop\n");
extern "C" const char after_setenv[], after_qsort[], after_openlog[];

namespace unfreed::track {
namespace {

TEST(LibcOwned, NamesWhatLibcExports) {
  // A name that libc does not export is never found again on a stack.
  void* libc = dlopen("libc.so.6", RTLD_NOW);
  std::set<std::string> seen;
  for (std::string_view name : libc_caching_functions()) {
    EXPECT_TRUE(seen.emplace(name).second) << name << " stands there twice";
    EXPECT_NE(dlsym(libc, std::string(name).c_str()), nullptr) << name;
  }
}

TEST(LibcOwned, DoesNotNameWhatGivesBlocksToItsCaller) {
  std::set<std::string_view> names(libc_caching_functions().begin(), libc_caching_functions().end());
  for (const char* giver : {"strdup",         "strndup",
                            "asprintf",       "vasprintf",
                            "getline",        "getdelim",
                            "getaddrinfo",    "scandir",
                            "glob",           "wordexp",
                            "realpath",       "getcwd",
                            "open_memstream", "fclose",
                            "fputs",          "fprintf",
                            "fwprintf",       "sscanf",
                            "swscanf",        "newlocale",
                            "duplocale",      "iconv_open",
                            "regcomp",        "tsearch",
                            "hcreate_r",      "backtrace_symbols",
                            "timer_create",   "getifaddrs",
                            "if_nameindex",   "reallocarray"})
    EXPECT_FALSE(names.contains(giver)) << giver;
}

class HeapOwnerTest : public ::testing::Test {
 protected:
  HeapOwnerTest() {
    g_tracker.runtime_module = 1 << 20;
    // As on a real stack, the loader has bound what is called.
    setenv("UNFREED_UNIT_TEST", "", 1);
    qsort(this, 0, 1, [](const void*, const void*) { return 0; });
    openlog("", 0, 0);
  }
  ~HeapOwnerTest() override { g_tracker.runtime_module = 0; }

  using Frames = std::vector<unwind::Frame>;
  static unwind::Frame at(const void* pc) {
    unwind::Object object;
    EXPECT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(pc), object));
    return {reinterpret_cast<uintptr_t>(pc), module_number(object), false};
  }
  /// In a function of libc's, after a call.
  static unwind::Frame in(const char* name) { return at(of_libc(name) + 2); }
  static const char* of_libc(const char* name) {
    static void* libc = dlopen("libc.so.6", RTLD_NOW);
    auto* function = static_cast<const char*>(dlsym(libc, name));
    EXPECT_NE(function, nullptr) << name;
    return function;
  }
  /// In this program, where no call can be recognized.
  static unwind::Frame program() {
    static const char kNoCall[32] = {};
    return at(kNoCall + sizeof kNoCall / 2);
  }
  static unwind::Frame cxx_runtime() {
    return at(static_cast<const char*>(dlsym(RTLD_DEFAULT, "__cxa_guard_acquire")) + 2);
  }
  static HeapOwner owner(const Frames& frames, bool truncated = false) { return heap_owner(frames, truncated); }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(HeapOwnerTest, WhatTheProgramAllocatesIsItsOwn) {
  EXPECT_EQ(owner({}), HeapOwner::program);
  EXPECT_EQ(owner({program(), in("qsort")}), HeapOwner::program);
  EXPECT_EQ(owner({cxx_runtime(), program()}), HeapOwner::program);
}

TEST_F(HeapOwnerTest, WhatIsAllocatedBeforeTheProgramRunsIsLibcs) {
  EXPECT_EQ(owner({cxx_runtime(), in("qsort")}), HeapOwner::libc);
  EXPECT_EQ(owner({cxx_runtime(), in("qsort")}, true), HeapOwner::program) << "the program may lie beyond";
  EXPECT_EQ(owner({in("qsort"), cxx_runtime()}, true), HeapOwner::undecided);
}

TEST_F(HeapOwnerTest, WhatTheLoaderAllocatesIsLibcs) {
  auto* loader = static_cast<const char*>(dlsym(RTLD_DEFAULT, "_dl_mcount"));
  ASSERT_NE(loader, nullptr);
  EXPECT_EQ(owner({at(loader + 2), program()}), HeapOwner::libc);
}

TEST_F(HeapOwnerTest, WhatAFunctionGivesToItsCallerIsTheProgramsOwn) {
  EXPECT_EQ(owner({in("strdup"), program()}), HeapOwner::program);
  EXPECT_EQ(owner({in("getcwd"), program()}), HeapOwner::program);
  EXPECT_EQ(owner({in("strdup"), in("qsort"), program()}), HeapOwner::undecided) << "its caller is libc";
  EXPECT_EQ(owner({in("strdup"), in("setenv"), program()}), HeapOwner::libc);
  EXPECT_EQ(owner({in("strdup")}, true), HeapOwner::undecided);
  unwind::Frame of_stream = in("strdup");
  of_stream.is_owned = true;
  EXPECT_EQ(owner({of_stream, program()}), HeapOwner::libc);
}

TEST_F(HeapOwnerTest, WhatAFunctionKeepsIsLibcs) {
  EXPECT_EQ(owner({in("setenv"), program()}), HeapOwner::libc);
  EXPECT_EQ(owner({in("qsort"), in("qsort"), in("setenv"), program()}), HeapOwner::libc);
  EXPECT_EQ(owner({in("qsort"), program()}), HeapOwner::undecided);
  EXPECT_EQ(owner({in("qsort"), program(), in("setenv"), program()}), HeapOwner::undecided) << "called by libc";
  unwind::Frame of_stream = in("qsort");
  of_stream.is_owned = true;
  EXPECT_EQ(owner({in("qsort"), of_stream, program()}), HeapOwner::libc);
  EXPECT_EQ(owner({in("qsort")}, true), HeapOwner::undecided);
}

TEST_F(HeapOwnerTest, WhoWasInterruptedByASignalHasMadeNoCall) {
  unwind::Frame interrupted = in("setenv");
  interrupted.exact_pc = true;
  EXPECT_EQ(owner({in("qsort"), interrupted, program()}), HeapOwner::undecided);
  interrupted = at(after_setenv);
  EXPECT_EQ(owner({in("qsort"), interrupted}), HeapOwner::libc);
  interrupted.exact_pc = true;
  EXPECT_EQ(owner({in("qsort"), interrupted}), HeapOwner::undecided);
}

TEST_F(HeapOwnerTest, AHookLiesBetweenLibcAndItsCaller) {
  unwind::Frame hook = cxx_runtime();
  EXPECT_EQ(owner({in("qsort"), hook, in("setenv"), program()}), HeapOwner::undecided);
  g_tracker.runtime_module = hook.module;
  EXPECT_EQ(owner({in("qsort"), hook, in("setenv"), program()}), HeapOwner::libc);
}

// setenv, localtime and others end by a jump, and are on no stack.
TEST_F(HeapOwnerTest, WhatTheProgramHasCalledIsKnownFromItsCall) {
  EXPECT_EQ(owner({in("qsort"), at(after_setenv)}), HeapOwner::libc);
  EXPECT_EQ(owner({in("qsort"), at(after_qsort)}), HeapOwner::undecided);
  EXPECT_EQ(owner({in("qsort"), at(after_openlog)}), HeapOwner::undecided) << "the program's own openlog";
}

TEST_F(HeapOwnerTest, EveryFunctionIsKnownFromItsFirstByteToItsLast) {
  int followed_by_nothing = 0;
  for (std::string_view name : libc_caching_functions()) {
    const char* start = of_libc(std::string(name).c_str());
    Dl_info info;
    const ElfW(Sym)* symbol = nullptr;
    ASSERT_NE(dladdr1(start, &info, const_cast<void**>(reinterpret_cast<const void**>(&symbol)), RTLD_DL_SYMENT), 0);
    if (!symbol || info.dli_saddr != start || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) continue;
    const char* end = start + symbol->st_size;
    // What is called last returns to the byte after it.
    for (const char* return_address : {start + 1, end})
      EXPECT_EQ(owner({at(return_address), program()}), HeapOwner::libc) << name;
    const ElfW(Sym)* next = nullptr;
    if (!dladdr1(end, &info, const_cast<void**>(reinterpret_cast<const void**>(&next)), RTLD_DL_SYMENT)) continue;
    if (next) continue;
    ++followed_by_nothing;
    EXPECT_EQ(owner({at(end + 1), program()}), HeapOwner::undecided) << name;
  }
  EXPECT_GT(followed_by_nothing, 0);
}

}  // namespace
}  // namespace unfreed::track
