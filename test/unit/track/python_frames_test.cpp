// An interpreter of this test's own: it has the names of CPython's, and frames where CPython's headers have them.
#include "track/python_frames.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "support/tracked_process.h"

#define EXPORTED extern "C" [[gnu::visibility("default")]]

namespace {
std::byte g_thread[128];
uintptr_t g_indirect[2];  // what holds the current frame where the thread's state does not
int g_finalizing;
}  // namespace

EXPORTED char PyCode_Type[8];
char PyCode_Type[8];
EXPORTED void* PyGILState_GetThisThreadState() { return g_thread; }
EXPORTED int _Py_IsFinalizing() { return g_finalizing; }
EXPORTED void _PyEval_EvalFrameDefault() {}

namespace unfreed::track {
namespace {

/// One version's structures: offsets in bytes, −1 for what it has not.
struct Version {
  const char* library;
  int thread_frame, indirect_frame, caller, code, instruction, owner;
  int filename, name, first_line, line_table, instructions, other_text;
  std::string_view lines;  ///< the first instruction is in the function's first line + 1
};
const Version k10{"/usr/lib/libpython3.10.so.1.0", 24, -1, 24, 32, 96, -1, 104, 112, 40, 120, -1, 72, {"\x0a\x01", 2}};
const Version k13{"/usr/bin/python3.13", 72, -1, 8, 0, 56, 70, 112, 128, 68, 136, 200, 56, {"\xef\x02", 2}};
const Version k12{"/usr/bin/python3.12", 56, 0, 8, 0, 56, 70, 112, 128, 68, 136, 192, 56, {"\xef\x02", 2}};
const Version k11{"/usr/bin/python3.11", 56, 8, 48, 32, 56, -1, 112, 128, 72, 136, 184, 72, {"\xef\x02", 2}};

class PythonFrames : public testing::Test {
 protected:
  using Memory = std::vector<std::byte>;

  void SetUp() override {
    g_finalizing = 0;
    std::memset(g_thread, 0, sizeof g_thread);
    std::memset(g_indirect, 0, sizeof g_indirect);
  }
  void TearDown() override { forget_interpreter(); }

  void start(const Version& version) {
    version_ = &version;
    unwind::Object object;
    ASSERT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(&_PyEval_EvalFrameDefault), object));
    note_interpreter(object, 1, version.library);
  }
  /// So that nothing is read but by the kernel, whatever was proved in other tests.
  void start_unproved(const Version& version) {
    start(k11);
    forget_interpreter();
    start(version);
  }
  static bool is_known() {
    unwind::Frame frame{};
    frame.pc = reinterpret_cast<uintptr_t>(&_PyEval_EvalFrameDefault) + 1;
    return find_python_loop(ledger::Kind::fd, {&frame, 1}) == 0;
  }
  template <class T>
  static void set(Memory& memory, int offset, T value) {
    std::memcpy(memory.data() + offset, &value, sizeof value);
  }
  static uintptr_t address(const Memory& memory) { return reinterpret_cast<uintptr_t>(memory.data()); }
  Memory& make(size_t bytes) { return objects_.emplace_back(bytes); }

  /// A str whose characters have so many bytes.
  uintptr_t text(std::u32string_view characters, unsigned width = 1, bool is_ascii = true) {
    Memory& made = make(256 + characters.size() * width);
    set(made, 16, characters.size());
    set(made, 32, width << 2 | 1 << 5 | unsigned{is_ascii} << 6);
    int start = is_ascii ? version_->other_text - (version_->other_text == 72 ? 24 : 16) : version_->other_text;
    for (size_t at = 0; at < characters.size(); ++at)
      std::memcpy(made.data() + start + static_cast<int>(at * width), &characters[at], width);
    return address(made);
  }
  Memory& code(uintptr_t filename, uintptr_t name, uint32_t first_line) {
    Memory& table = make(128);
    set(table, 16, version_->lines.size());
    std::memcpy(table.data() + 32, version_->lines.data(), version_->lines.size());
    Memory& made = make(256);
    set(made, 8, reinterpret_cast<uintptr_t>(PyCode_Type));
    set(made, version_->filename, filename);
    set(made, version_->name, name);
    set(made, version_->first_line, first_line);
    set(made, version_->line_table, address(table));
    return made;
  }
  /// The thread calls: the frame becomes the innermost one.
  Memory& call(const Memory& code) {
    Memory& made = make(128);
    set(made, version_->caller, innermost());
    set(made, version_->code, address(code));
    if (version_->instructions >= 0) set(made, version_->instruction, address(code) + version_->instructions);
    uintptr_t frame = address(made);
    std::memcpy(innermost_place(), &frame, sizeof frame);
    return made;
  }
  std::byte* innermost_place() const {
    std::byte* place = g_thread + version_->thread_frame;
    if (version_->indirect_frame < 0) return place;
    std::byte* indirect = reinterpret_cast<std::byte*>(g_indirect);
    std::memcpy(place, &indirect, sizeof indirect);
    return indirect + version_->indirect_frame;
  }
  uintptr_t innermost() const {
    uintptr_t frame;
    std::memcpy(&frame, innermost_place(), sizeof frame);
    return frame;
  }
  /// What is read, as "file:function:first line:line".
  std::vector<std::string> frames() {
    PythonFrame read[16];
    truncated_ = false;
    size_t count = read_python_frames(read, false, truncated_);
    std::vector<std::string> out;
    for (const PythonFrame& frame : std::span(read).first(count)) {
      std::string all;
      process_.view().each_text(frame.function, 3,
                                [&](std::string_view part) { all.append(all.empty() ? "" : ":").append(part); });
      out.push_back(all + ":" + std::to_string(frame.line));
      functions_.push_back(frame.function);
    }
    return out;
  }
  /// After so many stacks the layout is believed, and memory read as it is.
  void prove() {
    for (int time = 0; time < 40; ++time) frames();
  }

  using Lines = std::vector<std::string>;
  test::TrackedProcess& process_ = test::TrackedProcess::the();
  const Version* version_ = nullptr;
  /// Of all tests: a line is known by the addresses of its objects, which must not serve for others.
  static inline std::deque<Memory> objects_;
  bool truncated_ = false;
  std::vector<ledger::StringRef> functions_;
};

TEST_F(PythonFrames, AreReadInnermostFirstByEachLayout) {
  for (const Version* version : {&k10, &k11, &k12, &k13}) {
    SetUp();
    start(*version);
    ASSERT_TRUE(is_known()) << version->library;
    call(code(text(U"a.py"), text(U"outer"), 10));
    call(code(text(U"b.py"), text(U"inner"), 20));
    for (int time = 0; time < 40; ++time) {  // by the kernel, then as they are
      EXPECT_EQ(frames(), (Lines{"b.py:inner:20:21", "a.py:outer:10:11"})) << version->library;
      EXPECT_FALSE(truncated_);
    }
    forget_interpreter();
    EXPECT_FALSE(is_known());
  }
}

TEST_F(PythonFrames, HaveNamesInUtf8) {
  start(k13);
  call(code(text(U"a.py"), text(U"\u00e9t\u00e9", 1, false), 1));
  call(code(text(U"a.py"), text(U"\u5b57", 2, false), 2));
  call(code(text(U"a.py"), text(U"\U00010348", 4, false), 3));
  EXPECT_EQ(frames(), (Lines{"a.py:\xf0\x90\x8d\x88:3:4", "a.py:\xe5\xad\x97:2:3", "a.py:\xc3\xa9t\xc3\xa9:1:2"}));
}

TEST_F(PythonFrames, LeaveOutThoseOfC) {
  start(k13);
  Memory& function = code(text(U"a.py"), text(U"f"), 1);
  call(function);
  set(call(function), version_->owner, uint8_t{3});
  call(function);
  EXPECT_EQ(frames().size(), 2u);
  EXPECT_FALSE(truncated_);
}

TEST_F(PythonFrames, NameOneFunctionOnce) {
  start(k10);
  call(code(text(U"once.py"), text(U"f"), 1));
  call(code(text(U"once.py"), text(U"f"), 1));  // compiled anew: another object
  call(code(text(U"once.py"), text(U"g"), 1));
  ASSERT_EQ(frames().size(), 3u);
  EXPECT_EQ(functions_[1], functions_[2]);
  EXPECT_NE(functions_[0], functions_[1]);
}

TEST_F(PythonFrames, EndBeforeWhatIsNoCode) {
  start(k10);
  Memory& function = code(text(U"a.py"), text(U"f"), 1);
  Memory& other = code(text(U"a.py"), text(U"no_code"), 1);
  set(other, 8, uintptr_t{0});
  call(function);
  call(other);
  call(function);
  EXPECT_EQ(frames(), Lines{"a.py:f:1:2"});
  EXPECT_TRUE(truncated_);
}

TEST_F(PythonFrames, EndBeforeANameThatCannotBeRead) {
  start(k13);
  uintptr_t no_text = text(U"f", 3, false), file = text(U"a.py");
  for (uintptr_t name : {uintptr_t{0}, no_text}) {
    std::memset(g_thread, 0, sizeof g_thread);
    call(code(file, name, 1));
    call(code(file, text(U"f"), 1));
    EXPECT_EQ(frames(), Lines{"a.py:f:1:2"});
    EXPECT_TRUE(truncated_);
  }
}

TEST_F(PythonFrames, AreNamedAnewWhereACodeObjectTookThePlaceOfAnother) {
  start(k13);
  Memory& place = code(text(U"a.py"), text(U"first"), 1);
  call(place);
  EXPECT_EQ(frames(), Lines{"a.py:first:1:2"});
  set(place, version_->name, text(U"second"));
  EXPECT_EQ(frames(), Lines{"a.py:second:1:2"});
}

TEST_F(PythonFrames, OfAThreadThatPythonDoesNotKnowAreNone) {
  start(k13);
  EXPECT_TRUE(frames().empty());
  EXPECT_FALSE(truncated_);
  EXPECT_TRUE(is_known());
}

TEST_F(PythonFrames, EndBeforeWhatIsNoFrame) {
  start(k13);
  Memory& outermost = call(code(text(U"a.py"), text(U"f"), 1));
  prove();
  for (uintptr_t caller : {uintptr_t{1}, uintptr_t{0xfff1}}) {
    set(outermost, version_->caller, caller);
    EXPECT_EQ(frames(), Lines{"a.py:f:1:2"}) << caller;
    EXPECT_TRUE(truncated_) << caller;
  }
}

TEST_F(PythonFrames, AreReadByTheKernelWhenTheInterpreterEnds) {
  start(k13);
  Memory& outermost = call(code(text(U"a.py"), text(U"f"), 1));
  prove();
  void* freed = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  set(outermost, version_->caller, reinterpret_cast<uintptr_t>(freed));
  g_finalizing = 1;
  EXPECT_EQ(frames(), Lines{"a.py:f:1:2"});
  EXPECT_TRUE(truncated_);
  munmap(freed, 4096);
}

TEST_F(PythonFrames, OfAThreadWhoseStateLeadsNowhereAreNone) {
  ASSERT_NE(own_state(), nullptr);
  start_unproved(k12);
  void* freed = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uintptr_t place : {reinterpret_cast<uintptr_t>(freed), uintptr_t{0xfff1}, uintptr_t{1} << 62}) {
    std::memcpy(g_thread + k12.thread_frame, &place, sizeof place);
    EXPECT_TRUE(frames().empty()) << place;
  }
  munmap(freed, 4096);
}

TEST_F(PythonFrames, AreFoundByWayOfTheThreadsOwnStack) {
  ASSERT_NE(own_state(), nullptr);
  start(k12);
  call(code(text(U"a.py"), text(U"f"), 1));
  uintptr_t here[2] = {g_indirect[0], 0};  // as the interpreter's loop keeps it
  auto place = reinterpret_cast<uintptr_t>(here);
  std::memcpy(g_thread + k12.thread_frame, &place, sizeof place);
  for (int time = 0; time < 40; ++time) EXPECT_EQ(frames(), Lines{"a.py:f:1:2"});
}

/// From now on the kernel refuses to read memory. False: it does not let itself be asked.
bool forbid_reads_by_the_kernel() {
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog filter{std::size(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// A descriptor is opened thousands of times a second: once the layout is proved, no system call is made for it.
TEST_F(PythonFrames, AreReadWithoutTheKernelOnceTheyAreProved) {
  for (const Version* version : {&k10, &k12, &k13}) {
    SetUp();
    start_unproved(*version);
    call(code(text(U"a.py"), text(U"outer"), 10));
    call(code(text(U"b.py"), text(U"inner"), 20));
    for (bool is_proved : {false, true}) {
      if (is_proved) prove();
      pid_t child = fork();
      if (child == 0) _exit(forbid_reads_by_the_kernel() ? static_cast<int>(frames().size()) : 77);
      int status = -1;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status));
      if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "filters are not allowed here";
      EXPECT_EQ(WEXITSTATUS(status), is_proved ? 2 : 0) << version->library;
    }
    forget_interpreter();
  }
}

TEST_F(PythonFrames, AreReadByTheKernelWhereAHandlerHasInterruptedTheThread) {
  start(k13);
  Memory& outermost = call(code(text(U"a.py"), text(U"f"), 1));
  prove();
  void* freed = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  set(outermost, version_->caller, reinterpret_cast<uintptr_t>(freed));
  PythonFrame read[16];
  bool truncated = false;
  EXPECT_EQ(read_python_frames(read, true, truncated), 1u);
  EXPECT_TRUE(truncated);
  munmap(freed, 4096);
}

TEST_F(PythonFrames, AreAsManyAsThereIsRoomFor) {
  start(k13);
  Memory& function = code(text(U"a.py"), text(U"f"), 1);
  for (int depth = 0; depth < 12; ++depth) call(function);
  PythonFrame read[16];
  for (size_t room : {size_t{0}, size_t{5}, size_t{11}, size_t{12}, size_t{13}}) {
    bool truncated = false;
    EXPECT_EQ(read_python_frames(std::span(read).first(room), false, truncated), std::min<size_t>(room, 12));
    EXPECT_EQ(truncated, room < 12) << room;
  }
  // No more than of other frames.
  uint32_t depth = g_tracker.depth;
  g_tracker.depth = 3;
  EXPECT_EQ(frames().size(), 3u);
  g_tracker.depth = depth;
  EXPECT_TRUE(truncated_);
}

TEST_F(PythonFrames, AreLookedForWhereTheLoopRuns) {
  start(k13);
  auto loop = reinterpret_cast<uintptr_t>(&_PyEval_EvalFrameDefault);
  std::vector<unwind::Frame> stack(3);
  for (unwind::Frame& frame : stack) frame = {loop, 0, false};  // the return address of a call just before it
  EXPECT_EQ(find_python_loop(ledger::Kind::fd, stack), -1);
  stack[2].pc = loop + 1;
  EXPECT_EQ(find_python_loop(ledger::Kind::fd, stack), 2);
  stack[1].pc = loop + 1;
  EXPECT_EQ(find_python_loop(ledger::Kind::fd, stack), 1) << "the innermost";
  EXPECT_EQ(find_python_loop(ledger::Kind::thread, stack), 1);
  EXPECT_EQ(find_python_loop(ledger::Kind::heap, stack), -1) << "there are too many";
  EXPECT_EQ(find_python_loop(ledger::Kind::mapping, stack), -1);
  EXPECT_EQ(find_python_loop(ledger::Kind::fd, {}), -1);
}

TEST_F(PythonFrames, AreNotReadOfAnInterpreterThatIsLaidOutOtherwise) {
  start(k10);
  start(k13);  // the first one counts
  EXPECT_TRUE(is_known());
  forget_interpreter();
  start(k13);
  Memory& other = code(text(U"a.py"), text(U"f"), 1);
  set(other, 8, uintptr_t{0});
  call(other);
  forget_interpreter();
  start(k10);
  forget_interpreter();
  start(k13);  // what was believed of another layout is not believed of this one
  EXPECT_TRUE(frames().empty());
  EXPECT_FALSE(is_known());
}

TEST_F(PythonFrames, AreNoneOfALibraryThatLacksWhatCPythonHas) {
  unwind::Object libc;
  ASSERT_TRUE(unwind::find_object(reinterpret_cast<uintptr_t>(dlsym(RTLD_NEXT, "strlen")), libc));
  note_interpreter(libc, 1, k13.library);
  EXPECT_FALSE(is_known());
  start(k13);
  EXPECT_TRUE(is_known()) << "which may follow";
}

TEST_F(PythonFrames, AreThoseOfVersionsThatAreKnown) {
  for (const char* name : {"/usr/bin/python3.7", "/usr/bin/python3.14", "/usr/bin/python3.13d", "/usr/bin/python3",
                           "/usr/lib/libpython3.13t.so.1.0", "/usr/lib/libruby3.13.so"}) {
    Version version = k13;
    version.library = name;
    start(version);
    EXPECT_FALSE(is_known()) << name;
  }
}

}  // namespace
}  // namespace unfreed::track
