#include "trace/calls.h"
#include "trace/pass_through.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "arch/traced_registers.h"

namespace unfreed::trace {
namespace {

/// What the filter says of a call, by a plain interpreter of the instructions that it uses.
uint32_t verdict(long number, std::initializer_list<uint64_t> arguments = {},
                 uint32_t architecture = arch::kAuditArchitecture) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = architecture;
  size_t at = 0;
  for (uint64_t argument : arguments) data.args[at++] = argument;
  std::vector<sock_filter> filter = make_filter();
  uint32_t value = 0;
  for (size_t next = 0; next < filter.size(); ++next) {
    const sock_filter& one = filter[next];
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&value, reinterpret_cast<const char*>(&data) + one.k, sizeof value);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        next += value == one.k ? one.jt : one.jf;
        break;
      case BPF_RET | BPF_K:
        return one.k;
      default:
        ADD_FAILURE() << "an instruction that this test does not know: " << one.code;
    }
  }
  ADD_FAILURE() << "the filter has no end";
  return 0;
}

TEST(Filter, StopsAtEachCallOfTheTableWithItsIndex) {
  for (size_t index = 0; index < calls().size(); ++index) {
    const Call& call = calls()[index];
    bool depends_on_arguments = call.name == "fcntl" || call.name == "ioctl" || call.name == "seccomp";
    if (call.effect == Effect::starts || depends_on_arguments) continue;
    EXPECT_EQ(verdict(call.number), SECCOMP_RET_TRACE | index) << call.name;
  }
}

TEST(Filter, LetsOthersPass) {
  for (long number : {SYS_read, SYS_write, SYS_futex, SYS_mmap, SYS_clone})
    EXPECT_EQ(verdict(number), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(SYS_close, {}, 0), SECCOMP_RET_ALLOW) << "numbers of another architecture are other calls";
}

TEST(Filter, LooksAtArguments) {
  EXPECT_EQ(verdict(SYS_fcntl, {3, F_GETFL}), SECCOMP_RET_ALLOW);
  uint32_t traced = SECCOMP_RET_TRACE | static_cast<uint32_t>(find_call(SYS_fcntl));
  EXPECT_EQ(verdict(SYS_fcntl, {3, F_DUPFD}), traced);
  EXPECT_EQ(verdict(SYS_fcntl, {3, F_DUPFD_CLOEXEC}), traced);
  EXPECT_EQ(verdict(SYS_fcntl, {3, uint64_t{1} << 32 | F_DUPFD}), traced) << "the kernel looks at an int, too";
}

struct Outcome {
  int tracer_status;     ///< of exit; −signal
  std::string finished;  ///< what the traced process wrote at its end: "" if its calls failed
  bool operator==(const Outcome&) const = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << outcome.tracer_status << " \"" << outcome.finished << '"';
}

[[noreturn]] void be_traced(int output) {
  raise(SIGSTOP);
  if (install_filter(make_filter()) != 0) _exit(1);
  int file = open("/dev/null", O_RDONLY);  // ENOSYS if it has no tracer
  if (file >= 0 && close(file) == 0 && write(output, "done", 4) == 4) _exit(0);
  _exit(2);
}

/// A tracer fails while its process is stopped at a filtered call.
Outcome after(void (*fail)()) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  pid_t tracer = fork();
  if (tracer == 0) {
    pid_t target = fork();
    if (target == 0) be_traced(ends[1]);
    int status;
    waitpid(target, &status, WUNTRACED);
    ptrace(PTRACE_SEIZE, target, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXIT);
    kill(target, SIGCONT);
    pass_through_after_fault();
    for (;;) {
      waitpid(target, &status, __WALL);
      if (status >> 16 == PTRACE_EVENT_SECCOMP) break;
      resume_unseen(target, status);
    }
    hold(target, status);
    fail();
    _exit(9);
  }
  close(ends[1]);
  Outcome outcome{};
  char text[16];
  for (ssize_t got; (got = read(ends[0], text, sizeof text)) > 0;)
    outcome.finished.append(text, static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(tracer, &status, 0);
  outcome.tracer_status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return outcome;
}

TEST(PassThrough, AfterAFaultTheTracerLetsItsProcessesGoOn) {
  Outcome expected{0, "done"};
  EXPECT_EQ(after([] {
              // A page without access: a null pointer would be caught by UBSan before it faults.
              void* page = mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              *static_cast<volatile char*>(page) = 1;
            }),
            expected);
  EXPECT_EQ(after([] { abort(); }), expected);
}

TEST(PassThrough, SignalsOfOthersAreNoFaults) {
  Outcome expected{9, ""};  // it goes on, here to its end, without which the calls fail
  EXPECT_EQ(after([] {
              pid_t sender = fork();
              if (sender == 0) {
                kill(getppid(), SIGSEGV);
                _exit(0);
              }
              waitpid(sender, nullptr, 0);
            }),
            expected);
}

}  // namespace
}  // namespace unfreed::trace
