// The constructor: reads the settings, makes the ledger, and lets tracking begin.
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>

#include <cstring>
#include <string_view>

#include "base/address_space.h"
#include "base/keep_errno.h"
#include "base/own_memory.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "hook/heap.h"
#include "hook/process.h"
#include "hook/real.h"
#include "ledger/library_part.h"
#include "runtime/ancestry.h"
#include "runtime/ledger_memory.h"
#include "runtime/messages.h"
#include "runtime/output.h"
#include "runtime/own_settings.h"
#include "runtime/preload.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
#include "settings/programs.h"
#include "settings/settings.h"
#include "track/blind_spots.h"
#include "track/children.h"
#include "track/epochs.h"
#include "track/exec_leaks.h"
#include "track/failures.h"
#include "track/fd.h"
#include "track/heap_index.h"
#include "track/levels.h"
#include "track/modules.h"
#include "track/operator_new.h"
#include "track/sites.h"
#include "track/tests.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "track/untracked.h"
#include "unwind/walk.h"

#ifdef __GLIBC__
extern "C" void* __libc_stack_end;
#endif

namespace unfreed::runtime {

constinit RuntimeState g_runtime{};

using base::base_name;
using base::raw_syscall;
using ledger::Coverage;
using ledger::Kind;
using track::g_tracker;

namespace {

std::string_view environment_value(const char* const* environment, std::string_view name) {
  for (; environment && *environment; ++environment) {
    std::string_view entry(*environment);
    if (entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=')
      return base::slice(entry, name.size() + 1);
  }
  return {};
}

template <size_t kBytes>
void copy_text(char (&to)[kBytes], std::string_view from) {
  base::TextBuilder(std::span<char>(to, kBytes)).add(from);
}

void read_link(const char* path, std::span<char> out) {
  long size = raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(path), reinterpret_cast<long>(out.data()),
                          static_cast<long>(out.size() - 1));
  out[size > 0 ? static_cast<size_t>(size) : 0] = '\0';
}

/// The executable's path. Without /proc, the one in the exec call, unless that names a script.
void find_executable(std::span<char> out) {
  read_link("/proc/self/exe", out);
  auto* started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  char magic[4];
  if (out[0] || !started || base::read_file(started, magic, sizeof magic) != sizeof magic) return;
  if (std::memcmp(magic, "\177ELF", sizeof magic) != 0) return;
  base::TextBuilder path(out);
  if (*started != '/') path.add(g_runtime.working_directory).add('/');
  path.add(started);
}

/// The name in the exec call: redis-server where that is a link to another program, the script's where it has #!.
std::string_view name_as_started(std::string_view exe, int argc, char** argv) {
  auto* started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  std::string_view name(started ? started : "");
  // Executed by its descriptor, which says nothing (and "/proc/self/exe", which need not be the same by now).
  bool is_number = name.starts_with("/proc/") || name.starts_with("/dev/fd/");
  if (!name.empty() && !is_number) return base_name(name);
  return base_name(!exe.empty() ? exe : argc > 0 ? argv[0] : "");
}

void find_place(const char* const* environment) {
  std::string_view run = environment_value(environment, "UNFREED_SESSION");
  read_place(environment_value(environment, "UNFREED_LEDGER_DIR"), run, g_runtime.place);
  int launcher = base::parse_id(environment_value(environment, "UNFREED_LAUNCHER"));
  g_runtime.launcher_pid = run.empty() || launcher < 0 ? 0 : launcher;
  std::string_view traced = environment_value(environment, "UNFREED_TRACED");
  g_runtime.place.is_library_part = g_runtime.launcher_pid && !traced.empty();
  g_runtime.is_traced_alone = g_runtime.place.is_library_part && traced == "alone";
  g_runtime.wants_all_reports = g_runtime.launcher_pid && environment_value(environment, "UNFREED_ALL_REPORTS") == "1";
}

/// As many of the arguments as fit, as one run of NUL-terminated strings.
ledger::StringRef add_arguments(const ledger::Writer& writer, int count, char** arguments, uint32_t& kept) {
  constexpr size_t kMostBytes = 64 * 1024;
  auto* text = static_cast<char*>(base::map_memory(kMostBytes));
  kept = 0;
  if (!text) return 0;
  size_t bytes = 0;
  for (; kept < static_cast<uint32_t>(count); ++kept) {
    size_t size = std::strlen(arguments[kept]) + 1;
    if (size > kMostBytes - bytes) break;
    std::memcpy(text + bytes, arguments[kept], size);
    bytes += size;
  }
  ledger::StringRef added = bytes ? writer.add_text({text, bytes - 1}) : 0;
  base::unmap_memory(text, kMostBytes);
  return added;
}

void cover_sampled_heap(uint64_t interval_bytes) {
  base::FixedText<128> reason;
  reason.add("on average one block per ").add_number(interval_bytes).add(" bytes is tracked and stands for the others");
  g_tracker.writer.cover(Kind::heap, Coverage::sampled, reason.text());
}

/// `owner`: the library whose malloc it is, "" for the program.
void cover_foreign_heap(std::string_view owner) {
  base::FixedText<512> reason;
  if (owner.empty())
    reason.add("the program has a malloc of its own, which bypasses unfreed");
  else
    reason.add("malloc is that of ").add(base_name(owner)).add(", which was loaded before unfreed and bypasses it");
  g_tracker.writer.cover(Kind::heap, Coverage::unavailable, reason.text());
}

/// In reports that the process makes while it runs: the tracer's ledger is not read for them.
void leave_to_tracer() {
  for (unsigned kind = 0; kind < ledger::kKindCount; ++kind)
    if (ledger::kKindsOfTracer >> kind & 1)
      g_tracker.writer.cover(static_cast<Kind>(kind), Coverage::unavailable,
                             "it is counted from outside, for the report at the end and unfreed snapshot");
}

/// From when on everything is seen, for kinds of which the kernel has no list that would say what else there is.
void cover_attached(const report::Settings& settings) {
  for (Kind kind : {Kind::heap, Kind::thread, Kind::timer, Kind::shm, Kind::library, Kind::mapping}) {
    if (!(settings.kinds >> static_cast<unsigned>(kind) & 1)) continue;
    g_tracker.writer.cover(kind, Coverage::partial,
                           "only since the attachment, and not what was called by an address copied before");
  }
}

}  // namespace

void allow_inheritable(const report::Settings& settings) {
  track::forget_allowed_exec_leaks();
  for (size_t i = 0; i < settings.inheritable.count; ++i)
    track::allow_exec_leak(settings.inheritable.ranges[i].first, settings.inheritable.ranges[i].last);
}

void take_inherited() {
  track::fd_take_inherited();
  track::children_take_inherited();
}

void describe_coverage(const report::Settings& settings) {
  for (unsigned kind = 0; kind < ledger::kKindCount; ++kind)
    if (settings.kinds >> kind & 1) g_tracker.writer.cover(static_cast<Kind>(kind), Coverage::exact);
  if (g_runtime.place.is_library_part) leave_to_tracer();
  track::note_go_objects();
  track::find_absent_parts_of_libc();
  if (g_runtime.is_attached) cover_attached(settings);
  if (!(settings.kinds >> static_cast<unsigned>(Kind::heap) & 1)) return;
  if (const char* owner = hook::foreign_malloc())
    cover_foreign_heap(owner);
  else if (track::is_malloc_valgrinds())
    g_tracker.writer.cover(Kind::heap, Coverage::unavailable, "Valgrind replaces malloc with its own");
  else if (settings.sample_bytes)
    cover_sampled_heap(settings.sample_bytes);
  if (!hook::malloc_is_glibcs())
    g_tracker.writer.header().flags.fetch_or(ledger::kHeaderFlagForeignMalloc, std::memory_order_relaxed);
}

ledger::StringRef add_settings(const ledger::Writer& writer) {
  static char kept[16384];
  base::TextBuilder text(kept);
  report::add_evaluation_settings(text, g_settings);
  return writer.add_text(text.text());
}

namespace {

/// It distinguishes reports of one name that belong to different runs.
void describe_run(const report::Settings& settings) {
  const ledger::Writer& writer = g_tracker.writer;
  ledger::Header& header = writer.header();
  Run run;
  if (g_runtime.launcher_pid) {
    run.is_first = !g_runtime.is_descendant;
    run.name.add(g_runtime.place.run);
  } else if (!report::has_pid(settings.output)) {
    find_run(settings, base_name(g_runtime.library_path), run);
  }
  header.run = writer.add_text(run.name.text());
  if (run.is_first) header.flags.fetch_or(ledger::kHeaderFlagRoot, std::memory_order_relaxed);
}

/// The script that a shell reads, without symbolic links, as /proc/self/fd will name it.
ledger::StringRef add_script(const ledger::Writer& writer, std::string_view exe, int argc, char** argv) {
  if (!report::is_named(report::kShells, base::base_name(exe))) return 0;
  report::ScriptArguments scripts(exe);
  int at = 0;
  while (at < argc && !scripts.may_be_script(argv[at])) ++at;
  if (at == argc) return 0;
  long file = raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(argv[at]), O_PATH | O_CLOEXEC);
  if (base::is_error(file)) return 0;
  base::FixedText<32> link;
  link.add("/proc/self/fd/").add_signed(file);
  char path[PATH_MAX];
  long size = raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(link.c_str()), reinterpret_cast<long>(path),
                          sizeof path);
  raw_syscall(SYS_close, file);
  return size > 0 ? writer.add_text({path, static_cast<size_t>(size)}) : 0;
}

void fill_header(const report::Settings& settings, std::string_view exe, std::string_view program, int argc,
                 char** argv) {
  const ledger::Writer& writer = g_tracker.writer;
  ledger::Header& header = writer.header();
  header.ppid = static_cast<int>(raw_syscall(SYS_getppid));
  header.uid = static_cast<uint32_t>(raw_syscall(SYS_getuid));
  header.main_tid = g_runtime.pid;
  header.launcher_pid = g_runtime.launcher_pid;
  header.process_start_ticks = read_stat(0).start_ticks;
  header.started_realtime_ns = base::realtime_ns();
  header.started_monotonic_ns = base::monotonic_ns();
  describe_run(settings);
  header.exe = writer.add_text(exe.empty() && argc > 0 ? argv[0] : exe);
  header.program = writer.add_text(program);
  header.directory = writer.add_text(g_runtime.working_directory);
  header.script = add_script(writer, exe, argc, argv);
  header.argv = add_arguments(writer, argc, argv, header.argv_count);
  header.settings = add_settings(writer);
  size_t hook_name_bytes;
  const char* hooks = hook::hook_names(hook_name_bytes);
  header.hook_names = writer.add_text({hooks, hook_name_bytes});
  header.hook_count = static_cast<uint32_t>(hook::Hook::count_);
  header.kinds_tracked = settings.kinds;
  header.depth = settings.depth;
  header.sample_bytes = settings.sample_bytes;
  if (g_runtime.is_attached) header.flags.fetch_or(ledger::kHeaderFlagAttached, std::memory_order_relaxed);
}

/// Where the main thread's stack is (its top, and how far down the kernel keeps room for it), and how large others'
/// are.
void measure_stacks() {
  rlimit limit{};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_STACK, 0, reinterpret_cast<long>(&limit));
  constexpr size_t kMostStack = size_t{64} << 20;  // with no limit set, believe in no more than this
  g_tracker.main_stack_bytes = limit.rlim_cur < kMostStack ? limit.rlim_cur : kMostStack;
#ifdef __GLIBC__
  auto end = reinterpret_cast<uintptr_t>(__libc_stack_end);
#else
  // The environment's table lies above all frames.
  auto end = reinterpret_cast<uintptr_t>(environ);
#endif
  g_tracker.main_stack_high = (end + 4096) & ~uintptr_t{4095};
  g_tracker.default_stack_bytes = track::default_stack_bytes();
}

/// What was allocated before tracking began lies below. glibc takes a block of a size that nobody has freed yet from
/// the end of its heap, and puts it back there.
uintptr_t end_of_early_heap() {
  constexpr size_t kUnusual = 3000;
  if (!hook::malloc_is_glibcs()) return 0;
  void* block = hook::g_real.malloc(kUnusual);
  hook::g_real.free(block);
  return reinterpret_cast<uintptr_t>(block);
}

bool prepare_tracking(const report::Settings& settings) {
  using hook::Hook;
  track::set_operator_new_hooks({hook_number(Hook::_Znwm), hook_number(Hook::_ZnwmRKSt9nothrow_t),
                                 hook_number(Hook::_ZnwmSt11align_val_t),
                                 hook_number(Hook::_ZnwmSt11align_val_tRKSt9nothrow_t), hook_number(Hook::_Znam),
                                 hook_number(Hook::_ZnamRKSt9nothrow_t), hook_number(Hook::_ZnamSt11align_val_t),
                                 hook_number(Hook::_ZnamSt11align_val_tRKSt9nothrow_t)});
  if (!track::prepare_modules() || !track::prepare_sites() || !unwind::prepare(track::module_number)) return false;
  bool has_index = track::g_heap_index.prepare(hook::malloc_is_glibcs() ? 32 : 8);
  unwind::Object own;
  if (unwind::find_object(reinterpret_cast<uintptr_t>(&prepare_tracking), own))
    g_tracker.runtime_module = track::module_number(own);
  if (track::g_heap_index.is_compact()) hook::retry_failed_allocations();
  g_tracker.kinds = settings.kinds;
  if (g_runtime.place.is_library_part) g_tracker.kinds &= ~ledger::kKindsOfTracer;
  g_tracker.depth = settings.depth;
  g_tracker.sample_bytes = settings.sample_bytes;
  bool has_heap = settings.kinds >> static_cast<unsigned>(Kind::heap) & 1;
  if (has_heap && !has_index && !hook::foreign_malloc())
    g_tracker.writer.cover(Kind::heap, Coverage::unavailable, "there is no memory for the heap index");
  // A process may be attached to again, with other settings.
  bool uses_heap = has_index && (has_heap || g_runtime.is_attached);
  g_tracker.heap_use = !uses_heap              ? track::HeapUse::none
                       : settings.sample_bytes ? track::HeapUse::sampled
                                               : track::HeapUse::every_block;
  track::start_epochs();
  if (g_tracker.heap_use == track::HeapUse::every_block) g_tracker.early_heap_end = end_of_early_heap();
  measure_stacks();
  track::set_without_deepbind(settings.no_deepbind);
  allow_inheritable(settings);
  return track::prepare_threads() && track::prepare_children();
}

void register_endings();

/// The launcher, which notices by itself if CMD has no ledger, will find none of this process. (Where the run's folder
/// is out of reach, so is this note; the process that started this program has made it then.)
void note_apart(std::string_view exe, elf::Obstacle obstacle) {
  if (g_runtime.launcher_pid && g_runtime.is_descendant) track::note_self_untracked(exe, obstacle);
}

/// The program runs as it would by itself.
void say_no_tracking(const report::Settings& settings, std::string_view why) {
  base::FixedText<512> line;
  if (base::is_address_space_short()) why = "the limit on its address space (ulimit -v) leaves no room for that";
  g_tracker.heap_use = track::HeapUse::none;
  // Give back the memory taken so far, which the program would lack.
  if (g_tracker.writer) unmap_ledger(g_tracker.writer, g_runtime.ledger_path);
  base::give_back_all_own_memory();
  g_settings = {};  // its texts lay there
  line.add("unfreed: nothing is tracked: ").add(why);
  say(line.text(), settings.rules.count ? Line::verdict : Line::news);
  // Rules that cannot be checked must not pass silently. (With a launcher, that one reports it.)
  if (!settings.rules.count || g_runtime.launcher_pid) return;
  g_runtime.is_unchecked = true;
  register_endings();
}

/// Prints what could not be read; true if one of them ends the run.
bool report_setting_errors(const report::SettingError* errors, size_t count) {
  bool fatal = false;
  for (size_t i = 0; i < count; ++i) {
    char line[1024];
    size_t size = report::describe(errors[i], line);
    base::FixedText<1100> text;
    text.add("unfreed: ").add({line, size});
    if (!errors[i].fatal && errors[i].meant.empty()) text.add("; the default is used");
    say(text.text(), errors[i].fatal ? Line::verdict : Line::news);
    fatal = fatal || errors[i].fatal;
  }
  return fatal;
}

#ifdef __GLIBC__
void at_exit(int status, void*) {
  bool replaced = false;
  int final_status = finish(status, replaced);
  // exit() within exit() runs what is left and ends with the new status. No handlers are left, but libc flushes the
  // streams as at every exit, ignoring locks held by other threads. fflush(nullptr) would wait for those locks: a
  // thread in getchar() never releases stdin's.
  if (replaced) exit(final_status);
}
#endif

int ending_without_handlers(int status) {
  bool replaced = false;
  return finish(status, replaced);
}

void quick_ending(int status) { g_runtime.quick_exit_status = status; }

void at_quick_exit_handler() {
  bool replaced = false;
  int status = finish(g_runtime.quick_exit_status, replaced);
  if (replaced) base::end_process(status);
}

void replacing(bool failed) {
  if (!track::g_fork_page.alive.load(std::memory_order_relaxed)) return;
  if (g_tracker.phase.load(std::memory_order_relaxed) != track::Phase::tracking) return;
  // The child that writes a report would become the next program's child.
  constexpr int kPatienceMs = 1000;
  ReportTurn turn(failed ? 0 : kPatienceMs, LeftCopy::is_killed);
  ledger::State state = failed ? ledger::State::live : ledger::State::replaced;
  // The ledger is removed by the next image's runtime, or by the launcher: if the exec fails, it is still
  // needed.
  g_tracker.writer.header().state.store(static_cast<uint32_t>(state), std::memory_order_release);
}

/// A resource has run out: a report at once says who holds them.
void exhausted(uint32_t failure) {
  g_tracker.writer.header().exhausted_by.store(failure + 1, std::memory_order_release);
  report_now(report::Trigger::exhaustion, nullptr, 0);
}

/// A number of UNFREED_REPORT_AT has been reached.
void reached(uint32_t level, uint64_t value) {
  if (level < g_settings.report_at.count)
    report_now(report::Trigger::threshold, nullptr, 0, {g_settings.report_at.rules[level].text, value});
}

void set_levels() {
  track::set_level_handler(reached);
  for (const report::Rule& rule : g_settings.report_at.all())
    track::add_level(
        {rule.kind(), rule.counter == report::Counter::bytes, rule.or_equal ? rule.limit : rule.limit + 1});
}

#ifdef __GLIBC__
void remember_status(int status, void*) { g_runtime.quick_exit_status = status; }
#endif

/// Registered before all others (-z initfirst), so that they run last. In a process that was attached to they run
/// first: there the library's destructor makes the last report.
void register_endings() {
  hook::set_process_events({ending_without_handlers, quick_ending, replacing, leaving_untracked, sandboxing,
                            child_collected, command_collected});
#ifdef __GLIBC__
  on_exit(g_runtime.is_attached ? remember_status : at_exit, nullptr);
#endif
  at_quick_exit(at_quick_exit_handler);
}

/// nullptr, or why nothing is tracked.
const char* start(int argc, char** argv, char** environment) {
  hook::resolve_real_functions();
  restore_preload(environment);
  remember_stderr();
  static report::Settings settings;
  static report::SettingError errors[report::kMaxSettingErrors];
  settings = {};
  size_t error_count = report::read_settings(environment, settings, errors);
  remember_output(settings.output);
  char exe[1024];
  base::current_directory(g_runtime.working_directory);
  find_executable(exe);
  std::string_view program = name_as_started(exe, argc, argv);
  bool wanted =
      g_runtime.is_attached || report::is_wanted(settings, program) || report::is_wanted(settings, base_name(exe));
  g_runtime.pid = base::current_pid();
  find_place(environment);
  bool is_kept = keep_settings(settings, program, g_runtime.working_directory);
  prepare_preloading(environment);
  if (settings.disabled || !wanted) {
    g_tracker.heap_use = track::HeapUse::none;
    remove_replaced_ledger(g_runtime.place, g_runtime.pid);
    return nullptr;
  }
  base::measure_address_space();
  if (!g_runtime.is_attached)
    g_runtime.is_descendant = g_runtime.launcher_pid ? raw_syscall(SYS_getppid) != g_runtime.launcher_pid
                                                     : is_parent_preloaded(base_name(g_runtime.library_path));
  if (report_setting_errors(errors, error_count) && !g_runtime.is_attached)
    base::end_process(report::exit_status::failure);
  auto give_up = [&](const char* why) {
    note_apart(exe, elf::Obstacle::no_ledger);
    say_no_tracking(settings, why);
    return why;
  };
  if (!is_kept) return give_up("there is no memory for the settings");
  if (!g_runtime.is_attached && hook::is_loaded_late())
    return give_up("libc comes before the library, and so bypasses it: put the library first in LD_PRELOAD");

  // A set-uid program must not be made to run what its caller names.
  if (!getauxval(AT_SECURE)) copy_text(g_runtime.helper_path, environment_value(environment, "UNFREED_HELPER"));
  // What all that follows maps, most of which is never touched: the tickets of threads are 4 MiB of the others.
  constexpr size_t kOtherTables = size_t{5} << 20;
  base::reserve_own_memory(sizeof(track::ThreadState) + track::HeapIndex::kTableBytes + kOtherTables);
  track::prepare_states();
  if (!map_ledger(g_runtime.place, g_runtime.pid, g_tracker.writer, g_runtime.ledger_path, g_runtime.ledger_identity,
                  g_runtime.why_private))
    return give_up("there is no memory for a ledger");
  if (!g_runtime.ledger_identity.is_launchers && !g_runtime.place.is_library_part)
    note_apart(exe, elf::Obstacle::apart);
  fill_header(settings, exe, program, argc, argv);
  track::start_tests(environment_value(environment, track::kTestVariable));
  describe_coverage(settings);
  if (!prepare_tracking(settings)) return give_up("there is no memory for the tables");
  if (!track::prepare_fork_page()) return give_up("the kernel is too old (MADV_WIPEONFORK, Linux 4.14)");
  track::set_fork_handler(take_over_fork_child);
  track::set_exhaustion_handler(exhausted);
  set_levels();
  register_endings();
  base::keep_spare_room();
  track::own_state();
  if (!g_runtime.is_attached) take_inherited();
  if (settings.report_signal) take_report_signal(settings.report_signal);
  if (!g_runtime.launcher_pid && g_runtime.ledger_path[0])
    remove_leftover_ledgers(g_runtime.ledger_path, g_tracker.writer.header().ppid);
  g_tracker.has_unseen_past = g_runtime.is_attached;
  g_tracker.writer.header().state.store(static_cast<uint32_t>(ledger::State::live), std::memory_order_release);
  watch_for_sandbox();
  if (g_runtime.is_attached) return nullptr;
  g_tracker.phase.store(track::Phase::tracking, std::memory_order_release);
  track::refresh_active();
  return nullptr;
}

}  // namespace

const char* start_attached(int argc, char** argv, char** environment) {
  g_runtime.is_attached = g_runtime.is_descendant = true;
  return start(argc, argv, environment);
}

// glibc passes the program's arguments to constructors; with -z initfirst this one runs before environ is set. (For
// musl: runtime/musl/start.cpp.)
#ifdef __GLIBC__
[[gnu::constructor]]
#endif
void construct(int argc, char** argv, char** environment) {
  static bool is_constructed;
  if (is_constructed) return;
  is_constructed = true;
  if (hook::is_loaded_late() && !hook::is_behind_libc()) return;
  base::KeepErrno keep;
  start(argc, argv, environment);
}

}  // namespace unfreed::runtime
