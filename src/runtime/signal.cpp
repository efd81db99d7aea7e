// The report signal: taken only where the program has left it at its default, and never given away again.
#include <errno.h>
#include <signal.h>
#include <ucontext.h>

#include <cstring>

#include "arch/signal_context.h"
#include "base/keep_errno.h"
#include "base/syscall.h"
#include "base/waiting_call.h"
#include "grade/cut_short.h"
#include "runtime/runtime.h"
#include "track/report_signal.h"

extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;

namespace unfreed::runtime {

namespace {
void on_signal(int signal, siginfo_t* info, void* context_place) {
  base::KeepErrno keep;
  auto value = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  bool is_grading = info->si_code == SI_QUEUE && static_cast<uint32_t>(value) == ledger::kGradingRequest;
  if (!is_grading) {
    report_now(report::Trigger::signal, nullptr, 0);
    return;
  }
  grade_now();
  auto& context = *static_cast<ucontext_t*>(context_place);
  auto digest = static_cast<uint32_t>(value >> 32);
  base::WaitingCall call = arch::interrupted_call(context, base::number_in(digest));
  if (base::digest(call) == digest) grade::make_again_if_cut_short(context, call, signal);
}
}  // namespace

// Installed through libc's own function, because unwinders (ours included) recognise its signal trampoline; not through
// a replacement in the program or a sanitizer.
void take_report_signal(int signal) {
  struct sigaction now {};
  if (__sigaction(signal, nullptr, &now) != 0 || now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL) return;
  struct sigaction ours {};
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  if (__sigaction(signal, &ours, nullptr) == 0) track::set_report_signal(signal, on_signal);
}

}  // namespace unfreed::runtime
