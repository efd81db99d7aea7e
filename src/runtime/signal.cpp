// The report signal: taken only where the program has left it at its default.
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "arch/signal_context.h"
#include "base/keep_errno.h"
#include "base/signal_action.h"
#include "base/syscall.h"
#include "base/waiting_call.h"
#include "grade/cut_short.h"
#include "runtime/runtime.h"
#include "track/report_signal.h"

namespace unfreed::runtime {

namespace {

/// The default action of a report signal that is no request. The process may be a vfork child: nothing is written to
/// memory.
void die_of(int signal) {
  base::set_signal_action(signal, {}, nullptr);
  base::raw_syscall(SYS_tgkill, base::current_pid(), base::current_tid(), signal);
  uint64_t mask = uint64_t{1} << (signal - 1);
  base::raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, reinterpret_cast<long>(&mask), 0, sizeof mask);
}

void on_signal(int signal, siginfo_t* info, void* context_place) {
  base::KeepErrno keep;
  // A child of a process that was attached to: it is not tracked, but may not have come to a hook that gives it back.
  if (g_runtime.is_attached && g_runtime.pid != base::current_pid()) return die_of(signal);
  auto value = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  uint32_t request = info->si_code == SI_QUEUE ? static_cast<uint32_t>(value) : 0;
  if (request == ledger::kGradingRequest)
    grade_on_request();
  else if (request == ledger::kCollectRequest)
    collect_on_request();
  else if (track::is_substitute(signal))
    return die_of(signal);
  else
    return static_cast<void>(report_now(report::Trigger::signal, nullptr, 0));
  auto& context = *static_cast<ucontext_t*>(context_place);
  auto digest = static_cast<uint32_t>(value >> 32);
  base::WaitingCall call = arch::interrupted_call(context, base::number_in(digest));
  if (base::digest(call) == digest) grade::make_again_if_cut_short(context, call, signal);
}

}  // namespace

void take_report_signal(int signal) { track::take_report_signal(signal, on_signal); }

}  // namespace unfreed::runtime
