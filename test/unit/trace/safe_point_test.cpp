#include "trace/safe_point.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include "support/beside.h"
#include "trace/process_files.h"
#include "trace/stopped_thread.h"

namespace unfreed::trace {
namespace {

int g_never[2];

// Calls that are not the last thing of a function: each has a frame.
void wait_for_ever() {
  char byte;
  while (read(g_never[0], &byte, 1) != 0) {
  }
}
void wait_in_handler(int) { wait_for_ever(); }
void raise_signal() {
  raise(SIGUSR1);
  wait_for_ever();
}

/// A library with the runtime's name, whose function call_back() calls another.
class SafePointTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("unfreed-safe-point-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder_);

    std::filesystem::copy_file(test::beside_this_test("callback_small.so"), folder_ / "libunfreed.so");
    // On another stack: no word that leads to it is left on this one.
    std::thread([&] {
      if (void* library = dlopen((folder_ / "libunfreed.so").c_str(), RTLD_NOW))
        call_back_ = reinterpret_cast<CallBack>(dlsym(library, "call_back"));
    }).join();
    ASSERT_TRUE(call_back_ != nullptr);
    ASSERT_EQ(pipe(g_never), 0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  using CallBack = int (*)(void (*)());
  static inline CallBack call_back_ = nullptr;

  /// Of a process that comes to wait in `work`.
  static bool may_be_in_runtime(const std::function<void()>& work) {
    pid_t child = fork();
    if (child == 0) {
      signal(SIGUSR1, wait_in_handler);
      dup2(g_never[0], STDIN_FILENO);
      work();
      _exit(1);
    }
    ProcessFiles files(child);
    while (!files.read("syscall").starts_with("0 ") && !files.has_ended()) std::this_thread::yield();  // read()
    EXPECT_EQ(ptrace(PTRACE_SEIZE, child, 0, 0), 0);
    ptrace(PTRACE_INTERRUPT, child, 0, 0);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    arch::TracedRegisters registers;
    EXPECT_TRUE(read_registers(child, registers));
    bool answer = SafePoint(child).may_be_in_runtime(child, registers);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return answer;
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(SafePointTest, TheRuntimeHasCalledAThreadsFunction) {
  EXPECT_FALSE(may_be_in_runtime(wait_for_ever));
  EXPECT_FALSE(may_be_in_runtime([] { call_back_(wait_for_ever); }));
}

TEST_F(SafePointTest, TheRuntimeWaitsInARealCall) {
  EXPECT_FALSE(may_be_in_runtime([] { call_back_(reinterpret_cast<void (*)()>(&getchar)); }));
}

TEST_F(SafePointTest, ASignalHasInterruptedTheRuntime) {
  EXPECT_FALSE(may_be_in_runtime(raise_signal)) << "another function";
  EXPECT_TRUE(may_be_in_runtime([] { call_back_(raise_signal); }));
}

TEST_F(SafePointTest, AStackThatCannotBeFollowed) {
  // Calls the function in rdi. Nothing says how large its frame is.
  constexpr unsigned char kCode[] = {0x48, 0x81, 0xec, 0x08, 0x02, 0, 0, 0xff, 0xd7,
                                     0x48, 0x81, 0xc4, 0x08, 0x02, 0, 0, 0xc3};
  void* code = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(code, MAP_FAILED);
  std::memcpy(code, kCode, sizeof kCode);
  static auto wait_below = reinterpret_cast<void (*)(void (*)())>(code);
  EXPECT_FALSE(may_be_in_runtime([] { wait_below(wait_for_ever); }));
  EXPECT_TRUE(may_be_in_runtime([] { call_back_([] { wait_below(wait_for_ever); }); }));
  EXPECT_TRUE(may_be_in_runtime([] { wait_below(raise_signal); })) << "it may have interrupted anything";
}

}  // namespace
}  // namespace unfreed::trace
