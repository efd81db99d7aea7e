#include "trace/pass_through.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace unfreed::trace {

namespace {

struct Held {
  volatile int tid;
  volatile int status;
};
constexpr int kMostHeld = 1024;
Held g_held[kMostHeld];

bool is_stop_signal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

}  // namespace

volatile bool* g_has_given_up = nullptr;

bool resume_unseen(int tid, int status) {
  if (!WIFSTOPPED(status)) return false;
  int signal = WSTOPSIG(status);
  int event = status >> 16;
  bool is_group_stop = event == PTRACE_EVENT_STOP && is_stop_signal(signal);
  bool is_signal = event == 0 && signal != (SIGTRAP | 0x80);
  if (is_group_stop)
    ptrace(PTRACE_LISTEN, tid, 0, 0);
  else
    ptrace(PTRACE_CONT, tid, 0, is_signal ? signal : 0);
  return true;
}

bool hold(int tid, int status) {
  for (Held& place : g_held) {
    if (place.tid) continue;
    place.status = status;
    place.tid = tid;
    return true;
  }
  return false;
}

void let_go(int tid) {
  for (Held& place : g_held)
    if (place.tid == tid) place.tid = 0;
}

void pass_through() {
  if (g_has_given_up) *g_has_given_up = true;
  for (Held& held : g_held) {
    if (held.tid) resume_unseen(held.tid, held.status);
    held.tid = 0;
  }
  for (;;) {
    int status;
    int tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno == ECHILD) _exit(0);
    if (tid > 0) resume_unseen(tid, status);
  }
}

void pass_through_after_fault() {
  // The fault may be that of a stack that has come to its end.
  constexpr size_t kStack = 64 * 1024;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = kStack;
  if (stack != MAP_FAILED) sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    bool is_sent = info->si_code <= 0 && info->si_pid != getpid();  // abort() sends it itself
    if (!is_sent) pass_through();
  };
  sigset_t faults;
  sigemptyset(&faults);
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    sigaction(signal, &action, nullptr);
    sigaddset(&faults, signal);
  }
  sigprocmask(SIG_UNBLOCK, &faults, nullptr);
}

}  // namespace unfreed::trace
