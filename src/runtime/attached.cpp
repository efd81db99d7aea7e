// A process that the library was loaded into while it ran (unfreed attach --preload). The command calls these functions
// in one of its threads, which it has stopped (trace/injection.h):
//
//     unfreed_runtime_attach      other threads run
//     unfreed_runtime_redirect    all are stopped; where the library was there before, none of them is in its code
//     unfreed_runtime_detach      all are stopped, if possible outside of the library's code: if not, it only looks at
//                                 first. In the end those in it go on in it, and come out. It stays loaded, and so does
//                                 the ledger, which they may still write to
//     unfreed_runtime_close       other threads run; behind unfreed_runtime_detach, or where tracking could not begin
//
// A process that is attached to again goes on with what is there, and a new ledger. Each function writes its answer to
// `answer` and returns nothing: the thread may have to return without the command (trace/borrowed_thread.h).
#include <fcntl.h>

#include <cstring>
#include <iterator>
#include <span>
#include <string_view>

#include "base/keep_errno.h"
#include "base/numbered_entries.h"
#include "base/syscall.h"
#include "hook/real.h"
#include "hook/redirect.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "runtime/own_settings.h"
#include "runtime/runtime.h"
#include "settings/settings.h"
#include "track/blind_spots.h"
#include "track/report_signal.h"
#include "track/tracker.h"

using namespace unfreed;
using runtime::g_runtime;
using track::g_tracker;

namespace {

constinit bool g_has_started = false;
constinit bool g_is_again = false;
constinit bool g_is_closing = false;  ///< detached, but the ledger is not complete
constinit bool g_has_facts = false;   ///< the kernel's lists are in it
constinit const char* g_why_not = nullptr;

bool read_settings_again(char** environment) {
  static report::Settings settings;
  static report::SettingError errors[report::kMaxSettingErrors];
  settings = {};
  report::read_settings(environment, settings, errors);
  std::string_view program = runtime::g_settings.program;
  runtime::g_settings = {};
  return runtime::keep_settings(settings, program, g_runtime.working_directory);
}

/// By the kernel's word: the array that the loader has may be the program's by now, which may have made its pointers
/// null (nginx), or released what they lead to.
int read_arguments(std::span<char*> out) {
  static char text[16384];
  long size = base::read_file("/proc/self/cmdline", text, sizeof text - 1);
  int count = 0;
  for (long at = 0; at < size && static_cast<size_t>(count) + 1 < out.size();
       at += static_cast<long>(std::strlen(text + at)) + 1)
    out[static_cast<size_t>(count++)] = text + at;
  out[static_cast<size_t>(count)] = nullptr;
  return count;
}

bool is_tracking() { return g_tracker.phase.load(std::memory_order_acquire) == track::Phase::tracking; }

const char* start(char** environment) {
  static char* arguments[512];
  int count = read_arguments(arguments);
  return runtime::start_attached(count, arguments, environment);
}

/// nullptr, or why nothing can be tracked.
const char* attach(char** environment) {
  if (g_has_started) track::adopt_fork_if_needed();
  if (g_runtime.pid != base::current_pid()) g_is_closing = false;
  if (is_tracking() || g_is_closing) return "it is tracked already";
  if (!hook::is_loaded_late()) return "the library was preloaded, but does not track (UNFREED_DISABLE, UNFREED_ONLY)";
  g_is_again = g_has_started;
  g_has_started = true;
  if (!g_is_again)
    g_why_not = start(environment);
  else if (!g_why_not && !read_settings_again(environment))
    return "there is no memory for the settings";
  return g_why_not;
}

/// nullptr, or why not; "again": a thread is at work that has to go on first. The same below.
const char* redirect() {
  if (is_tracking() || g_is_closing || g_why_not) return "it is tracked already";
  if (g_is_again && !runtime::begin_again()) return "there is no memory for a ledger";
  if (!hook::redirect_references()) return "again";
  // What the others make from here on goes through the hooks.
  runtime::take_inherited();
  track::note_separate_descriptors();
  if (g_is_again && runtime::g_settings.report_signal) runtime::take_report_signal(runtime::g_settings.report_signal);
  g_tracker.phase.store(track::Phase::tracking, std::memory_order_release);
  return nullptr;
}

void take_facts() {
  report::take_kernel_facts(g_tracker.writer, 0);
  report::take_kernel_tasks(g_tracker.writer, 0);
  g_has_facts = true;
}

/// Descriptors that were open, and had no record, at each look. A thread in the library's code may be about to enter
/// one, or to close it.
constexpr int kMostNumbers = 65536;
constinit uint64_t g_unrecorded[kMostNumbers / 64];

void look_for_unrecorded(bool is_first) {
  static uint64_t found[kMostNumbers / 64];
  alignas(8) static char buffer[4096];
  std::memset(found, 0, sizeof found);
  long directory = base::open_file("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  bool is_whole = !base::is_error(directory) && base::each_numbered_entry(directory, buffer, [directory](int fd) {
    bool is_one = fd != directory && fd < kMostNumbers && !report::is_in_fd_table(g_tracker.writer, fd);
    if (is_one) found[fd / 64] |= uint64_t{1} << (fd % 64);
    return true;
  });
  if (!base::is_error(directory)) base::close_file(directory);
  if (!is_whole) std::memset(found, 0xff, sizeof found);
  for (size_t i = 0; i < std::size(found); ++i) g_unrecorded[i] = is_first ? found[i] : g_unrecorded[i] & found[i];
}

bool was_unrecorded(int fd) { return fd >= kMostNumbers || g_unrecorded[fd / 64] >> (fd % 64) & 1; }

// What trace/injection.cpp says of the threads that do not run.
constexpr uintptr_t kAreOutside = 1;  ///< none is in the library's code, and holds a lock
constexpr uintptr_t kGoesAnyway = 2;  ///< even if one is
constexpr uintptr_t kIsFirst = 4;     ///< it asks for the first time

const char* detach(uintptr_t threads) {
  if (g_is_closing) return nullptr;
  if (!g_runtime.is_attached || !is_tracking()) return "it is not attached to";
  look_for_unrecorded(threads & kIsFirst);
  if (!(threads & (kAreOutside | kGoesAnyway))) return "again";
  if (!hook::restore_references()) return "again";
  g_tracker.phase.store(track::Phase::forwarding, std::memory_order_release);
  g_is_closing = true;
  g_has_facts = false;
  // What the threads make from here on has no record.
  if (threads & kAreOutside) take_facts();
  return nullptr;
}

/// Also where tracking was prepared, and could not begin.
void close() {
  if (!g_runtime.is_attached || is_tracking()) return;
  if (g_is_closing) {
    track::give_report_signal_back();
    if (!g_has_facts) {
      take_facts();
      report::keep_unattributed(g_tracker.writer, was_unrecorded);
    }
  }
  runtime::remove_own_ledger();  // the command has it open
  g_is_closing = false;
}

/// exit() has run the program's handlers and other libraries' destructors.
[[gnu::destructor]] void end_attached() {
  if (!g_runtime.is_attached) return;
  bool is_replaced = false;
  runtime::finish(g_runtime.quick_exit_status, is_replaced);
}

}  // namespace

#define UNFREED_ENTRY extern "C" __attribute__((visibility("default"), used))

/// Prepares the tracking. `environment`: the settings, as variables.
UNFREED_ENTRY void unfreed_runtime_attach(char** environment, const char** answer) {
  base::KeepErrno keep;
  *answer = attach(environment);
}

/// From now on calls are tracked.
UNFREED_ENTRY void unfreed_runtime_redirect(void*, const char** answer) {
  base::KeepErrno keep;
  *answer = redirect();
}

/// From now on nothing is tracked.
UNFREED_ENTRY void unfreed_runtime_detach(uintptr_t threads, const char** answer) {
  base::KeepErrno keep;
  *answer = detach(threads);
}

/// The ledger is complete, and as of a process that goes on.
UNFREED_ENTRY void unfreed_runtime_close(void*, const char** answer) {
  base::KeepErrno keep;
  close();
  *answer = nullptr;
}
