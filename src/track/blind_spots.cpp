#include "track/blind_spots.h"

#include <fcntl.h>

#include <atomic>

#include "base/keep_errno.h"
#include "base/numbered_entries.h"
#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/moved_function.h"
#include "unwind/objects.h"

namespace unfreed::track {

using ledger::Kind;

void note_go_objects() {
  base::FixedText<256> reason;
  bool found = unwind::any_object([&](const unwind::Object& object) {
    if (!unwind::is_go(object)) return false;
    std::string_view name = base::base_name(object.name);
    reason.add(name.empty() ? "it" : name).add(" is a Go ").add(name.empty() ? "program" : "library");
    reason.add(", whose runtime makes system calls without libc");
    return true;
  });
  if (!found) return;
  for (Kind kind : {Kind::fd, Kind::thread, Kind::child}) cover_partly(kind, reason.text());
}

namespace {

struct PartOfLibc {
  unwind::SymbolName function;
  Kind kind;
  const char* what;
  bool was_absent = false;
};
constinit PartOfLibc g_parts_of_libc[] = {
    {"pthread_create", Kind::thread, "libpthread was loaded after the start: its threads bypass unfreed"},
    {"dlopen", Kind::library, "libdl was loaded after the start: its calls bypass unfreed"},
    {"timer_create", Kind::timer, "librt was loaded after the start: its timers bypass unfreed"},
};

}  // namespace

void find_absent_parts_of_libc() {
  for (PartOfLibc& part : g_parts_of_libc) part.was_absent = !unwind::find_in_libc(part.function);
}

void note_late_parts_of_libc() {
  for (PartOfLibc& part : g_parts_of_libc)
    if (part.was_absent && unwind::find_in_libc(part.function)) cover_partly(part.kind, part.what);
}

bool is_malloc_valgrinds() {
  return unwind::any_object([](const unwind::Object& object) {
    std::string_view name = base::base_name(object.name);
    return name.starts_with("vgpreload_") && !name.starts_with("vgpreload_core");
  });
}

namespace {
constinit bool g_without_deepbind;
constinit std::atomic<bool> g_is_bypassed;
}  // namespace

void set_without_deepbind(bool without) { g_without_deepbind = without; }
bool is_without_deepbind() { return g_without_deepbind; }
bool has_bypassing_library() { return g_is_bypassed.load(std::memory_order_relaxed); }

void note_bypassing_library(std::string_view file, bool is_apart) {
  g_is_bypassed.store(true, std::memory_order_relaxed);
  base::FixedText<384> reason;
  reason.add(base::base_name(file)).add(" was opened ");
  reason.add(is_apart ? "in a namespace of its own (dlmopen)" : "with RTLD_DEEPBIND").add(": its calls bypass unfreed");
  if (!is_apart) reason.add(", unless the program is run with --no-deepbind (UNFREED_NO_DEEPBIND=1)");
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind) cover_partly(static_cast<Kind>(kind), reason.text());
}

namespace {
void cover_unshared_descriptors() {
  cover_partly(Kind::fd,
               "a thread has descriptors of its own (unshare), which the kernel's list of the process's lacks");
}

/// A thread that has ended has none.
bool may_have_own_descriptors(int tid) {
  constexpr long kDescriptors = 2;  // KCMP_FILES
  if (base::raw_syscall(SYS_kcmp, base::current_tid(), tid, kDescriptors, 0, 0) == 0) return false;
  base::FixedText<64> path;
  path.add("/proc/self/task/").add_signed(tid).add("/stat");
  base::ProcessStat stat = base::read_process_stat(path.c_str());
  return !stat.is_gone && !stat.has_ended();
}
}  // namespace

void note_separate_descriptors() {
  alignas(8) char buffer[2048];
  long threads = base::open_file("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (base::is_error(threads)) return cover_unshared_descriptors();
  bool are_shared = base::each_numbered_entry(threads, buffer, [](int tid) { return !may_have_own_descriptors(tid); });
  base::close_file(threads);
  if (!are_shared) cover_unshared_descriptors();
}

void note_unshared_descriptors() {
  base::KeepErrno keep;
  bool is_alone = base::may_call_system() ? is_only_thread() : is_only_known_thread();
  if (!is_alone && enter(Kind::fd)) cover_unshared_descriptors();
}

}  // namespace unfreed::track
