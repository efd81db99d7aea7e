#include "trace/safe_point.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "elf/program.h"
#include "trace/process_files.h"

namespace unfreed::trace {

namespace {

/// Nothing that the program waits for by these is done by the loader or an allocator.
constexpr long kWaits[] = {
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_select
    SYS_select,
#endif
#ifdef SYS_pause
    SYS_pause,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
    SYS_epoll_pwait,
    SYS_ppoll,
    SYS_pselect6,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_recvmsg,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_sendto,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_wait4,
    SYS_waitid,
    SYS_futex,
    SYS_msgrcv,
    SYS_msgsnd,
    SYS_semop,
    SYS_semtimedop,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_io_getevents,
};

bool is_wait(long call) { return std::find(std::begin(kWaits), std::end(kWaits), call) != std::end(kWaits); }

/// Of futex: who waits there has released the mutex that belongs to it, and waits for another thread of the program.
constexpr std::string_view kWaitingFunctions[] = {
    "pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait", "sem_wait",
    "sem_timedwait",     "sem_clockwait",          "pthread_join",           "pthread_barrier_wait",
};

bool is_library(std::string_view file, std::string_view name) {
  // "libc.so.6", and "libc-2.31.so" of old.
  return file.starts_with(name) &&
         (file.substr(name.size()).starts_with(".so") || file.substr(name.size()).starts_with("-2."));
}

}  // namespace

SafePoint::SafePoint(int pid) : code_(pid) {
  bool has_loader = false;
  for (const CodeModule& module : code_.modules()) {
    std::string_view file = base::base_name(module.path);
    Part part = module.is_main ? Part::program : Part::other;
    if (is_library(file, "libc") || is_library(file, "libpthread")) part = Part::libc;
    if (file.starts_with("ld-linux") || is_library(file, "ld") || is_library(file, "libdl")) part = Part::loader;
    if (file == "libunfreed.so") part = Part::runtime;
    bool is_libc = is_library(file, "libc");
    if (part == Part::other && RemoteObject(pid, module.start).find("malloc")) part = Part::allocator;
    has_loader = has_loader || part == Part::loader;
    if (is_libc) libc_ = RemoteObject(pid, module.start);
    if (is_libc) find_sigreturn(pid, module);
    parts_.push_back(part);
  }
  if (code_.is_only_go())
    obstacle_ = "it is a static Go program, which has no loader that could load the library";
  else if (!has_loader || !libc_)
    obstacle_ = "it is linked statically, and has no loader that could load the library";
  else if (!sigreturn_)
    obstacle_ = "its libc has no code to return from signal handlers by";
}

void SafePoint::find_sigreturn(int tid, const CodeModule& libc) {
  // mov $15, %rax; syscall: debuggers know signal handlers by these very bytes, so that libc keeps them.
  static constexpr char kCode[] = "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05";
  constexpr std::string_view code(kCode, sizeof kCode - 1);
  static_assert(code.size() == kSigreturnBytes);
  std::vector<char> bytes(64 << 10);
  for (uintptr_t at = libc.start; at + code.size() < libc.end; at += bytes.size() - code.size()) {
    long size = ThreadMemory(tid).read(at, bytes.data(), std::min<size_t>(bytes.size(), libc.end - at));
    size_t found = std::string_view(bytes.data(), static_cast<size_t>(std::max(size, 0L))).find(code);
    if (found == std::string_view::npos) continue;
    sigreturn_ = at + found;
    return;
  }
}

RemoteObject SafePoint::find_runtime(int tid) const {
  for (size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i] == Part::runtime) return RemoteObject(tid, code_.modules()[i].start);
  return {};
}

uintptr_t SafePoint::find_dlopen(int tid, int& flags) const {
  flags = 0;
  if (uintptr_t found = libc_.find("dlopen")) return found;
  for (const CodeModule& module : code_.modules())
    if (is_library(base::base_name(module.path), "libdl"))
      if (uintptr_t found = RemoteObject(tid, module.start).find("dlopen")) return found;
  constexpr int kLikeDlopen = INT32_MIN;  // __RTLD_DLOPEN
  flags = kLikeDlopen;
  return libc_.find("__libc_dlopen_mode");
}

SafePoint::Part SafePoint::part_of(const CodeFrame& frame) const {
  return frame.module && frame.module <= parts_.size() ? parts_[frame.module - 1] : Part::other;
}

uintptr_t SafePoint::address_of(const CodeFrame& frame) const {
  return frame.module ? code_.modules()[frame.module - 1].base + frame.offset : 0;
}

bool SafePoint::may_wait_safely(int tid) const {
  // "running", or the call's number, its arguments, stack pointer and pc: proc(5).
  long call = 0;
  std::string text = ProcessFiles(tid).read("syscall");
  return std::sscanf(text.c_str(), "%ld 0x", &call) == 1 && is_wait(call);
}

bool SafePoint::waits_for_nothing_held(std::span<const CodeFrame> frames) const {
  return std::any_of(frames.begin(), frames.end(), [&](const CodeFrame& frame) {
    return std::any_of(std::begin(kWaitingFunctions), std::end(kWaitingFunctions),
                       [&](std::string_view name) { return libc_.is_in(name, address_of(frame)); });
  });
}

bool SafePoint::is_safe(int tid, const arch::TracedRegisters& registers) {
  constexpr size_t kMostFrames = 256, kMostOfStart = 2;
  if (!is_wait(registers.call())) return false;
  bool truncated = false;
  std::span<const CodeFrame> frames = code_.stack_of(ThreadMemory(tid), registers, kMostFrames, truncated);
  if (truncated || frames.empty() || part_of(frames[0]) != Part::libc) return false;
  size_t inner = 0;
  while (inner < frames.size() && part_of(frames[inner]) == Part::libc) ++inner;
  if (registers.call() == SYS_futex && !waits_for_nothing_held(frames.first(inner))) return false;
  frames = frames.subspan(inner);
  // The program's entry, and libc's functions that call main, or a thread's function.
  bool is_main_thread =
      frames.size() > 1 && part_of(frames.back()) == Part::program && part_of(frames[frames.size() - 2]) == Part::libc;
  if (is_main_thread) frames = frames.first(frames.size() - 1);
  size_t start = 0;
  while (!frames.empty() && part_of(frames.back()) == Part::libc) {
    frames = frames.first(frames.size() - 1);
    ++start;
  }
  if (start == 0 || start > kMostOfStart || frames.empty()) return false;
  return std::all_of(frames.begin(), frames.end(), [&](const CodeFrame& frame) {
    Part part = part_of(frame);
    return frame.module && (part == Part::other || part == Part::program || part == Part::runtime);
  });
}

bool SafePoint::may_be_in_runtime(int tid, const arch::TracedRegisters& registers) {
  constexpr size_t kMostFrames = 512;
  bool truncated = false;
  std::span<const CodeFrame> frames = code_.stack_of(ThreadMemory(tid), registers, kMostFrames, truncated);
  if (truncated || frames.empty()) return may_lead_to_runtime(tid, registers);
  size_t inner = 0;
  while (inner < frames.size() && part_of(frames[inner]) == Part::libc && (inner == 0 || !frames[inner].exact_pc))
    ++inner;
  bool is_behind = inner < frames.size() && part_of(frames[inner]) == Part::runtime;
  if (is_behind && !(inner > 0 && is_wait(registers.call()))) return true;
  // What a signal has interrupted goes on when its handler returns.
  auto interrupted = std::find_if(frames.begin() + 1, frames.end(), [](const CodeFrame& one) { return one.exact_pc; });
  return std::any_of(interrupted, frames.end(),
                     [&](const CodeFrame& frame) { return part_of(frame) == Part::runtime; });
}

/// Of a stack that cannot be followed (code made at run time has no unwind information): every word counts.
bool SafePoint::may_lead_to_runtime(int tid, const arch::TracedRegisters& registers) const {
  // A thread's control block lies at the top of its stack; the main thread's stack ends where nothing is mapped.
  constexpr uintptr_t kMostBytes = 64 << 20;
  uintptr_t control_block = registers.raw.fs_base, from = registers.sp() & ~uintptr_t{7};
  uintptr_t end = control_block > from && control_block - from < kMostBytes ? control_block : from + kMostBytes;
  auto is_runtimes = [&](uintptr_t address) {
    for (size_t i = 0; i < parts_.size(); ++i)
      if (parts_[i] == Part::runtime && address >= code_.modules()[i].start && address < code_.modules()[i].end)
        return true;
    return address == sigreturn_;  // what a signal has interrupted may be on another stack
  };
  std::vector<uintptr_t> words(32 << 10);
  ThreadMemory memory(tid);
  if (is_runtimes(registers.pc())) return true;
  while (from < end) {
    size_t wanted = std::min(words.size() * sizeof words[0], end - from);
    long got = memory.read(from, words.data(), wanted);
    size_t count = got > 0 ? static_cast<size_t>(got) / sizeof words[0] : 0;
    if (std::any_of(words.begin(), words.begin() + static_cast<long>(count), is_runtimes)) return true;
    from += count * sizeof words[0];
    if (count * sizeof words[0] < wanted) return control_block == end;  // more should be there
  }
  return false;
}

bool SafePoint::is_in_loader(uintptr_t address) const {
  for (size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i] == Part::loader && address >= code_.modules()[i].start && address < code_.modules()[i].end + 8192)
      return true;
  return false;
}

}  // namespace unfreed::trace
